//! Connections and dispatch: who may ask at all, and which handler answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;

use super::hub::Hub;
use super::recovery::Recovery;
use super::streams;
use crate::index::admission::{Admission, refusal};
use crate::index::decide::{Answer, Caller, Event, not_registered};
use crate::index::decider::Deciding;
use crate::index::directory::Directory;
use crate::index::log;
use crate::index::store::Store;
use crate::transport::{CallError, Connection, Identity, RequestStream, Service};
use crate::types::{TopicName, UnixMicros};
use crate::wire::index::{IndexRequest, LookupMany, Routes};
use crate::wire::{ErrorReply, Frame, WireRequest};

/// The largest piece of memory that glibc's allocator keeps at hand for a thread. Each request's future is one.
const AT_HAND_BYTES: usize = 1_032;

/// A running index, shared by all its streams.
pub(super) struct Index {
    pub(super) directory: Arc<RwLock<Directory>>,
    pub(super) store: Arc<dyn Store>,
    pub(super) deciding: Deciding,
    pub(super) hub: Arc<Hub>,
    pub(super) identity: Identity,
    pub(super) admission: Admission,
    pub(super) started: UnixMicros,
    pub(super) create_wait: Duration,
    pub(super) recovery: Recovery,
    /// The file which says that the index comes from a backup.
    pub(super) restored: std::path::PathBuf,
}

/// One accepted connection.
pub(super) struct Conn {
    pub(super) caller: Caller,
    pub(super) remote: std::net::SocketAddr,
}

impl Conn {
    fn ip(&self) -> IpAddr {
        self.remote.ip()
    }
}

impl Index {
    /// Has an event decided without waiting for it.
    pub(super) fn tell(self: &Arc<Self>, event: Event) {
        let index = Arc::clone(self);
        tokio::spawn(async move {
            // Refused only while stopping.
            let _ = index.deciding.decide(event).await;
        });
    }

    /// The peer of a session has stopped in order.
    pub(super) fn goodbye(self: &Arc<Self>, id: crate::types::SessionId) {
        for peer in self.hub.leave(id) {
            self.tell(Event::Seen { peer });
        }
    }

    pub(super) async fn decide(&self, event: Event) -> Result<Answer, ErrorReply> {
        self.deciding.decide(event).await
    }

    /// Every request but registering needs an admitted key with a name; the operator needs neither.
    fn may_ask(&self, conn: &Conn, request: &IndexRequest) -> Result<(), ErrorReply> {
        let Caller { key, operator } = conn.caller;
        if let IndexRequest::Register(register) = request
            && !operator
        {
            let admitted = self.admission.check(conn.ip(), key, &register.name);
            return admitted.inspect_err(|why| log::refused(conn.remote, key, &why.detail));
        }
        self.knows(conn)
    }

    /// The caller has registered, and its key is still admitted.
    fn knows(&self, conn: &Conn) -> Result<(), ErrorReply> {
        let Caller { key, operator } = conn.caller;
        if operator {
            return Ok(());
        }
        if !self.admission.admits(conn.ip(), key) {
            return Err(refusal(key, None));
        }
        match self.directory.read().peer(key) {
            Some(_) => Ok(()),
            None => Err(not_registered(key)),
        }
    }

    fn routes(&self, conn: &Conn, names: &[&str]) -> Result<Routes, ErrorReply> {
        self.knows(conn)?;
        Ok(self.directory.read().routes(names))
    }

    /// Answers what is refused, and lookups, of which there are most; any other request is given back.
    fn answer_at_once(
        &self,
        conn: &Conn,
        frame: &Frame,
        stream: &mut RequestStream,
    ) -> Option<IndexRequest> {
        if let Some(names) = LookupMany::names_in(frame) {
            stream.put_result(&self.routes(conn, &names));
            return None;
        }
        let decoded = match IndexRequest::decode(frame) {
            Ok((request, payload)) if payload.is_empty() => Ok(request),
            Ok((request, payload)) => Err(trailing(&request, &payload)),
            Err(error) => Err(error.into()),
        };
        let allowed = decoded.and_then(|request| {
            self.may_ask(conn, &request)?;
            Ok(request)
        });
        match allowed {
            Ok(IndexRequest::Lookup(request)) => stream.put_result(&self.lookup(&request)),
            Ok(request) => return Some(request),
            Err(why) => stream.put_error(&why),
        }
        None
    }

    async fn dispatch(self: &Arc<Self>, conn: &Conn, request: IndexRequest, stream: RequestStream) {
        use IndexRequest as R;
        let caller = conn.caller;
        match request {
            R::Lookup(request) => answer(stream, self.lookup(&request)).await,
            R::LookupMany(request) => {
                let names: Vec<&str> = request.names.iter().map(TopicName::as_str).collect();
                answer(stream, self.routes(conn, &names)).await;
            }
            R::Register(request) => {
                let registered = self.register(conn, request).await;
                // A stolen name, with both keys in the words.
                let registered = registered
                    .inspect_err(|why| log::refused(conn.remote, caller.key, &why.detail));
                answer(stream, registered).await;
            }
            R::CreateTopics(request) => answer(stream, self.create(caller, request).await).await,
            R::DeleteTopic(request) => answer(stream, self.delete(caller, request).await).await,
            R::SetTopic(request) => answer(stream, self.set(caller, request).await).await,
            R::ListTopics(request) => answer(stream, self.list_topics(caller, request).await).await,
            R::ShowTopic(request) => answer(stream, self.show_topic(&request)).await,
            R::Subscribe(request) => answer(stream, self.subscribe(caller, request).await).await,
            R::Unsubscribe(request) => {
                answer(stream, self.unsubscribe(caller, request).await).await;
            }
            R::ListSubscriptions(request) => {
                answer(stream, self.list_subscriptions(caller, request).await).await;
            }
            R::ClearNotices(request) => {
                answer(stream, self.clear_notices(caller, &request).await).await;
            }
            R::ListPeers(request) => stream.reply(&self.list_peers(&request)).await,
            R::ShowPeer(request) => answer(stream, self.show_peer(&request)).await,
            R::Deregister(request) => answer(stream, self.deregister(caller, &request).await).await,
            R::Forget(request) => answer(stream, self.forget(caller, request).await).await,
            R::IndexStatus(_) => stream.reply(&self.status()).await,
            R::SessionOpen(request) => streams::session(self, conn, request, stream).await,
            R::SessionAssignments(request) => {
                streams::assignments(self, caller.key, request.session, stream).await;
            }
            R::SessionReports(request) => {
                streams::reports(self, caller.key, request.session, stream).await;
            }
            R::AlterInSync(request) => answer(stream, self.alter(caller, request).await).await,
            R::HandOver(request) => answer(stream, self.hand_over(caller, request).await).await,
            R::MoveTopic(request) => answer(stream, self.move_topic(caller, request).await).await,
            R::LeaveInSync(request) => {
                answer(stream, self.leave_in_sync(caller, &request).await).await;
            }
            R::HoldMessages(request) => answer(stream, self.hold(caller, request).await).await,
            R::DrainHeld(request) => answer(stream, self.drain(caller, request).await).await,
            R::HeldSettled(request) => {
                answer(stream, self.settle_held(caller, request).await).await;
            }
            R::ReportCopies(request) => answer(stream, self.take_copies(caller, request)).await,
            R::RecoverTopic(request) => {
                answer(stream, self.recover_topic(caller, request).await).await;
            }
            R::RecoverIndex(request) => {
                answer(stream, self.recover_index(caller, request).await).await;
            }
        }
    }
}

fn trailing(request: &IndexRequest, payload: &Bytes) -> ErrorReply {
    let error = crate::wire::DecodeError::Trailing {
        message: request.name(),
        extra: payload.len(),
    };
    error.into()
}

async fn answer<M: crate::wire::Message>(mut stream: RequestStream, result: Result<M, ErrorReply>) {
    stream.put_result(&result);
    stream.send().await;
}

impl Service for Index {
    type Conn = Conn;

    /// Everybody gets in: a key that is not admitted must hear the command that admits it.
    fn connected(&self, connection: &Connection, _alpn: &[u8]) -> Result<Conn, ErrorReply> {
        let (key, remote) = (connection.peer(), connection.remote_addr());
        tracing::info!(target: "waypost::index", %remote, %key, "New connection from {remote}");
        Ok(Conn {
            caller: Caller {
                key,
                operator: key == self.identity.fingerprint(),
            },
            remote,
        })
    }

    fn stream(
        self: Arc<Self>,
        conn: Arc<Conn>,
        _connection: Connection,
        mut stream: RequestStream,
    ) -> impl Future<Output = ()> + Send {
        // Not as an `async fn`, which keeps what it is given twice.
        let served = async move {
            let left = match stream.first().await {
                Ok(frame) => self.answer_at_once(&conn, &frame, &mut stream),
                Err(CallError::Decode(error)) => {
                    stream.put_error(&error.into());
                    None
                }
                // Too slow or gone.
                Err(_) => return,
            };
            match left {
                None => stream.send().await,
                // Apart from the rest, for it is large, and each request's future comes from the allocator.
                Some(request) => Box::pin(self.dispatch(&conn, request, stream)).await,
            }
        };
        debug_assert!(size_of_val(&served) <= AT_HAND_BYTES);
        served
    }

    fn disconnected(&self, conn: &Conn) {
        let remote = conn.remote;
        tracing::info!(target: "waypost::index", %remote, "Connection closed for {remote}");
    }

    fn known_at_once(&self) -> bool {
        true
    }
}
