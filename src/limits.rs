//! Every bound of the system, each with its reason. Nothing else defines a bound.

use std::time::Duration;

/// Bytes in a peer or group name: fits a DNS label and a column on a screen.
pub const PEER_NAME_BYTES: usize = 64;
/// Bytes in a topic name: the bound of Kafka's topic names, so that names carry over.
pub const TOPIC_NAME_BYTES: usize = 249;
/// Bytes in a version text or similar remark that a peer sends about itself.
pub const REMARK_BYTES: usize = 256;

/// Bytes of one message body with key and headers. Larger things belong into an object store.
pub const MESSAGE_BYTES: usize = 4 << 20;
/// Bytes of one batch, header included; twice a message, so that any message fits with room.
pub const BATCH_BYTES: usize = 8 << 20;
/// Messages in one batch: 8 MiB of the shortest useful messages stay below it.
pub const BATCH_MESSAGES: u32 = 1 << 17;
/// Bytes of a metadata request; bounds what an index allocates for one.
pub const METADATA_REQUEST_BYTES: usize = 64 << 10;
/// Bytes of a metadata reply; a page of listings or the routes of the largest batched lookup.
pub const METADATA_REPLY_BYTES: usize = 1 << 20;
/// Bytes of a frame's postcard header when a raw payload follows.
pub const FRAME_HEADER_BYTES: usize = 64 << 10;
/// Bytes of any frame: the largest batch and its header.
pub const FRAME_BYTES: usize = BATCH_BYTES + FRAME_HEADER_BYTES;
/// Bytes made ready for a frame of which little has come: an ordinary frame, and what a stream that
/// claims a long one and sends nothing can cost.
pub const FRAME_AHEAD_BYTES: usize = 16 << 10;
/// Bytes of batches that a host puts into one Data frame unless one batch alone is larger. Large
/// writes matter: 100 byte writes to a stream are twenty times slower than 64 KiB ones.
pub const DATA_FRAME_BYTES: usize = 256 << 10;

/// Names of one batched lookup: their routes, at 32 bytes each, fill half of a metadata reply and
/// leave the rest to the hosts' addresses.
pub const LOOKUP_NAMES: usize = 16_384;

/// Entries on one page of a listing.
pub const PAGE_ENTRIES: u32 = 1_000;
/// Topic reports in one frame of a session's report stream.
pub const REPORTS_PER_FRAME: usize = 4_096;
/// Copies that are not in sync in one such frame: with the reports, less than
/// [`METADATA_REPLY_BYTES`].
pub const LAGS_PER_FRAME: usize = 8_192;
/// Assignments in one frame of a session's assignment stream.
pub const ASSIGNMENTS_PER_FRAME: usize = 1_024;
/// Addresses that a peer may advertise: one per I/O runtime, and a second network.
pub const PEER_ADDRESSES: usize = 64;
/// Subscriptions one peer may hold at the index.
pub const SUBSCRIPTIONS_PER_PEER: usize = 100_000;
/// Undelivered notices kept per peer; the oldest goes first.
pub const NOTICES_PER_PEER: usize = 10_000;
/// How long an undelivered notice is kept.
pub const NOTICE_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Producers remembered per topic for dedupe: of the key with the most, the most recent by offset.
pub const PRODUCERS_PER_TOPIC: usize = 1_024;
/// (sequence, offset) ranges remembered per producer of a topic: the largest in-flight window.
pub const RANGES_PER_PRODUCER: usize = 1_024;
/// Consumer groups in which one subscriber has a position in one topic.
pub const GROUPS_PER_SUBSCRIBER: usize = 1_024;

/// Appends of one stream that wait for their answer: the dedupe window of one producer, so that any
/// of them can be sent again.
pub const APPENDS_PER_STREAM: usize = RANGES_PER_PRODUCER;
/// Appends that came together and are handed to the journal together, and their bytes: locks are taken once for
/// all of them.
pub const APPENDS_TOGETHER: usize = 64;
/// See [`APPENDS_TOGETHER`].
pub const APPENDS_TOGETHER_BYTES: usize = 256 << 10;
/// Bytes of unanswered messages that one publisher may be told to hold: what a semaphore of tokio
/// can count on a 32-bit machine, too.
pub const PUBLISH_BUFFER_BYTES: usize = 256 << 20;
/// How long a host may leave a publisher's batches unanswered before the publisher asks the index
/// whether it is still the host, and the same process: a killed host's connection looks alive for
/// [`IDLE_TIMEOUT`].
pub const SILENCE_BEFORE_PROBE: Duration = Duration::from_secs(1);
/// A reader whose host stays silent asks again after twice as long, but at most this: a host that was
/// killed while nothing came is left within seconds, and an idle stream costs the index next to nothing.
pub const SILENCE_BETWEEN_PROBES: Duration = Duration::from_secs(2);

/// How long a host may take to open an append stream, after which the connection is not used again:
/// one round trip, unless the connection is dead and nobody knows yet.
pub const APPEND_OPEN_TIMEOUT: Duration = Duration::from_secs(2);

/// Topics on one follow stream: a replica of a large host follows all of its topics on one.
pub const SLOTS_PER_STREAM: usize = 1 << 20;

/// UDP ports probed from `base_port` up.
pub const PROBED_PORTS: u16 = 256;

/// How long a pass is valid; renewed at each registration.
pub const PASS_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Streams that a connection may open before its key is known.
pub const STREAMS_BEFORE_PASS: u32 = 16;
/// Bytes that a connection may have in flight before its key is known.
pub const WINDOW_BEFORE_PASS_BYTES: u32 = 8 << 20;
/// Request streams that an accepted connection may have open.
pub const STREAMS_PER_CONNECTION: u32 = 1_024;
/// Receive window of one stream: a few batches, and what one silent reader can cost.
pub const STREAM_WINDOW_BYTES: u32 = 16 << 20;
/// Receive window of one accepted connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
/// Receive window that every accepted connection has, come what may; one metadata request fits.
pub const CONNECTION_WINDOW_MIN_BYTES: u32 = 64 << 10;
/// Bytes that all accepted connections of a process may get beyond their minimum: 1 GiB, so that
/// hostile senders cost at most 2 GiB together with the minimum of every connection allowed.
pub const WINDOW_POOL_BYTES: u64 = 1 << 30;
/// Share of what is left of [`WINDOW_POOL_BYTES`] that one connection may take at once: the first
/// few get all they want, the thousandth still gets something.
pub const WINDOW_POOL_SHARE: u64 = 16;
/// Bytes that all connections of one key may get beyond their minimum.
pub const WINDOW_PER_KEY_BYTES: u64 = 256 << 20;
/// Share of what is left of [`WINDOW_PER_KEY_BYTES`] that one connection may take at once.
pub const WINDOW_PER_KEY_SHARE: u64 = 4;
/// How long a host lets a pull wait for a first message; who wants to wait longer asks again.
pub const PULL_WAIT: Duration = Duration::from_secs(300);
/// Receive buffer asked for each UDP socket. The usual 208 KiB are one burst of a fast sender: what
/// does not fit is lost, and the sender slows down by a third each time.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Bytes of unacknowledged sent data per connection, on a path as long as any.
pub const SEND_WINDOW_BYTES: u64 = 16 << 20;
/// The same on a path as short as any: more only lies in queues, and QUIC looks through all of it for each
/// packet.
pub const SEND_WINDOW_MIN_BYTES: u64 = 4 << 20;
/// Bytes that the fastest path takes in a second, 10 Gbit.
pub const PATH_BYTES_PER_S: u64 = 1_250_000_000;
/// Handshakes in flight at one endpoint; further ones are refused.
pub const HANDSHAKES: usize = 512;
/// Handshakes in flight from which an endpoint makes callers prove their address (QUIC Retry,
/// RFC 9000 section 8.1.2).
pub const HANDSHAKES_BEFORE_RETRY: usize = 128;
/// Connections that one endpoint keeps open.
pub const CONNECTIONS: usize = 16_384;
/// Connections from one address.
pub const CONNECTIONS_PER_ADDRESS: usize = 4_096;
/// Connections of one key: a daemon, its menu and a storm of one-shot commands.
pub const CONNECTIONS_PER_KEY: usize = 256;

/// How long a handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the sender of a request may take for its header.
pub const REQUEST_HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the sender of a request may take for its body.
pub const REQUEST_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may be silent before QUIC gives it up.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The round trip assumed before one was measured: a first packet that is lost, as where the other
/// side is just starting, is sent again after three times that. RFC 9002 recommends 333 ms, with which a
/// dial to an index that restarts took one second or three.
pub const INITIAL_RTT: Duration = Duration::from_millis(100);
/// How often an idle connection that somebody waits on is probed.
pub const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// How long a client waits for the reply to a metadata request.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a dial waits for one address before it tries the next beside it (RFC 8305 section 5).
pub const DIAL_STAGGER: Duration = Duration::from_millis(250);
/// How long streams in flight may go on at shutdown.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// Least time between a connection's last reply and its closing at shutdown; closing throws away
/// what was not yet sent. One delayed acknowledgement (25 ms, RFC 9002 section 5.3) fits.
pub const LINGER: Duration = Duration::from_millis(30);
/// How long closing an endpoint waits until peers have been told.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of the reason in a closed connection; fits one packet beside the code.
pub const CLOSE_REASON_BYTES: usize = 512;
/// Bytes of a payload chunk up to which it is copied behind its header, not written on its own:
/// copying this much costs less than a further entry in QUIC's send queue, which is walked for each packet.
pub const COPIED_PAYLOAD_BYTES: usize = 8 << 10;
/// Room that is made for copies at once: at least so that frames which follow find some, at most what the
/// allocator keeps at hand.
pub const COPIED_ROOM_BYTES: std::ops::RangeInclusive<usize> = 16 << 10..=64 << 10;
/// Chunks taken from a stream at once; a packet is one chunk, GSO sends some 40 packets.
pub const CHUNKS_PER_READ: usize = 32;
/// How long after its end a pass is still taken: wall clocks of hosts and index may differ, and an
/// index may be down for a day.
pub const PASS_GRACE: Duration = Duration::from_secs(24 * 3600);
/// Bytes of a key, certificate or known_index file; thousands of index addresses.
pub const CERTS_FILE_BYTES: u64 = 1 << 20;

/// How often a hosting peer sends a heartbeat.
pub const HEARTBEAT: Duration = Duration::from_millis(300);
/// How long a host may act on a heartbeat, counted from its sending (L in docs of leases).
pub const LEASE: Duration = Duration::from_millis(1_200);
/// How long the index waits after a heartbeat before it declares the peer away (W); safe while
/// W >= L (1 + r) / (1 - r) for clocks that drift by the rate r.
pub const LEASE_WAIT: Duration = Duration::from_millis(1_800);

/// Bytes of a config file; what is larger was named by mistake.
pub const CONFIG_BYTES: u64 = 1 << 20;
/// The sizes that a config may give a journal segment: tests use the smallest, and at the largest a
/// position in a segment still fits 32 bits.
pub const SEGMENT_BYTES_RANGE: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 32;
/// Bytes after which a journal segment is sealed: large enough that its footer and its share of a
/// checkpoint are small beside it, small enough that dead space comes back soon.
pub const SEGMENT_BYTES: u64 = 128 << 20;
/// The smallest segment that may be configured; tests run with it.
pub const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Bytes by which a segment grows: zeroed and synced ahead, so that a sync writes no metadata.
pub const EXTENT_BYTES: u64 = 8 << 20;
/// Extents ready ahead of the journal's writer: one to write into while the other is made.
pub const EXTENTS_AHEAD: u64 = 2;
/// Extents kept back for positions, trims and tombstones when the disk is full.
pub const EXTENTS_RESERVED: u64 = 1;
/// Bytes of a group from which a writer that waits for space is in a hurry: below it the time of a
/// sync matters more than that of the data.
pub const HURRY_BYTES: u64 = 256 << 10;
/// Extents taken at once in a hurry: taking space commits the file system's own journal, for which
/// the writer's syncs wait. Appending 1 MiB and syncing reached 1.2 GB/s into space taken by the
/// segment, 0.3 GB/s beside a thread that took 8 MiB at a time.
pub const HURRIED_EXTENTS: u64 = 8;
/// How often space is taken so after the writer has caught up: enough that a stream of large groups
/// stays unhindered, few enough that single appends soon find zeroed space.
pub const HURRIED_TIMES: u32 = 4;
/// Bytes that a pull brings, unless more is asked for: beside them a round trip is little, and they fit into
/// memory that the allocator keeps from one pull to the next (`memory`).
pub const PULL_BYTES: u64 = 16 << 20;
/// Bytes of commands that the journal's writer puts into one group: a sync of 4 MiB still takes
/// only milliseconds, and more would only add delay.
pub const GROUP_BYTES: usize = 4 << 20;
/// Bytes of a group up to which it is copied for those who keep it in memory; a larger one is kept with the
/// whole blocks that it was written in, at most an eighth more.
pub const GROUP_COPY_BYTES: usize = 64 << 10;
/// Bytes of commands that wait for the journal's writer: a few of the largest groups, so that the
/// next group is always there when a sync ends.
pub const JOURNAL_QUEUE_BYTES: usize = 32 << 20;
/// What a command counts in the journal's queue beside the bytes of its batch.
pub const COMMAND_BYTES: usize = 256;
/// Bytes of recent groups kept in memory, so that followers at the tip never touch the disk.
pub const TAIL_CACHE_BYTES: usize = 64 << 20;
/// A checkpoint is written only after this many times its own size of journal: at most an eighth
/// more is written, and at most eight times a checkpoint is scanned at start.
pub const CHECKPOINT_RATIO: u64 = 8;
/// Bytes that a checkpoint takes at least: its head, its list of segments and its end.
pub const CHECKPOINT_LEAST_BYTES: u64 = 4 << 10;
/// Checkpoints kept: if the newest is damaged, the one before still tells the same story.
pub const CHECKPOINTS_KEPT: usize = 2;
/// Topics that a checkpoint encodes while it holds the journal's writer up: some 100 µs.
pub const CHECKPOINT_CHUNK_TOPICS: usize = 64;
/// Bytes of one block of a checkpoint that a reader will allocate: a topic with every producer and
/// range remembered is 26 MB.
pub const CHECKPOINT_BLOCK_BYTES: usize = 1 << 30;
/// Sealed segments that may wait for their footer; each holds its index in memory meanwhile.
pub const SEALED_WAITING: usize = 4;
/// Dead segments kept for reuse; more are deleted.
pub const POOL_SEGMENTS: usize = 4;
/// Per cent of a sealed segment that are still kept below which it is rewritten: at half, each byte
/// written gives at least one back, and what is kept takes at most twice its space.
pub const REWRITE_LIVE_PERCENT: u8 = 50;
/// Bytes that rewriting a segment must give back: far more than a file and its footer cost.
pub const REWRITE_GAIN_BYTES: u64 = 1 << 20;
/// Bytes a second that are rewritten while nothing is appended: a tenth of what a disk can do.
pub const REWRITE_IDLE_BYTES_PER_S: u64 = 16 << 20;
/// Bytes that may be rewritten at once after a quiet time.
pub const REWRITE_BURST_BYTES: u64 = 4 << 20;
/// What a rewritten segment counts beside its bytes: a new name, a footer, and their syncs.
pub const REWRITE_COST_BYTES: u64 = 64 << 10;
/// Bytes rewritten between two syncs: what the writer's own sync may have to wait for.
pub const REWRITE_PIECE_BYTES: u64 = 1 << 20;
/// Bytes of a segment that are sorted by topic at once, in memory: a thousand topics then lie in runs of 16 KiB.
pub const SORT_WINDOW_BYTES: u64 = 16 << 20;
/// Topics that a segment must hold for it to be worth a look whether they lie scattered.
pub const SORT_TOPICS: u32 = 8;
/// Bytes that one read of a topic fetches on average from which on nothing is gained by sorting: reads of that
/// size keep a disk as busy as larger ones do.
pub const SORT_RUN_BYTES: u64 = 16 << 10;
/// Bytes between two batches of a topic up to which they do not lie scattered: a disk reads whole blocks.
pub const SORT_GAP_BYTES: u64 = 4 << 10;
/// How many times longer sorting must make those runs.
pub const SORT_GAIN: u64 = 4;
/// Bytes a second that are sorted, unless told otherwise (`sort_mb_per_s`): a fiftieth of what a disk can do.
pub const SORT_BYTES_PER_S: u64 = 16_000_000;
/// How long nothing is appended before checkpoints are written so that all that is sealed can be sorted.
pub const SORT_QUIET: Duration = Duration::from_secs(3);
/// How often a rewriter that waits looks at what has been appended.
pub const REWRITE_LOOK: Duration = Duration::from_millis(10);
/// Wake-ups of the rewriter that may wait; one is as good as many.
pub const REWRITE_WAKES: usize = 2;
/// Segment files kept open for reading; far below the usual limit of 1,024 descriptors.
pub const OPEN_SEGMENTS: usize = 128;
/// Bytes of decoded footer tables kept for reading.
pub const FOOTER_CACHE_BYTES: usize = 32 << 20;
/// Bytes of decoded lists of entries kept for reading.
pub const LIST_CACHE_BYTES: usize = 8 << 20;
/// The shortest list that is kept: a shorter one is read to its end in few reads.
pub const LIST_KEPT_BYTES: usize = 4 << 10;
/// Bytes between two wanted entries below which one read fetches both.
pub const READ_MERGE_BYTES: u64 = 64 << 10;
/// Bytes of one read from a segment unless one entry alone is larger: bounds what a read allocates.
pub const READ_CHUNK_BYTES: u64 = 1 << 20;
/// Bytes that a scan of a segment reads at once.
pub const SCAN_BYTES: usize = 4 << 20;
/// Commands that may wait for a submitter to commit them itself; with more the writer's thread is woken,
/// which works beside the submitter's.
pub const DEFERRED_ITEMS: usize = 4;
/// The largest command that may wait so.
pub const DEFERRED_BYTES: usize = 64 << 10;
/// How long the journal's writer leaves commands to a submitter that is too busy to commit them: long beside a
/// sync, so that it seldom wakes for nothing.
pub const DEFERRED_WAIT: Duration = Duration::from_millis(2);
/// How long after a group it goes on looking for them: where messages come less often than that, a wake-up
/// each costs less than looking in vain.
pub const DEFERRED_PATROL: Duration = Duration::from_millis(10);
/// The longest usual sync for which a submitter's own thread may stop: waking another takes 80 µs, and what
/// else the thread has to do waits meanwhile.
pub const DEFERRED_SYNC: Duration = Duration::from_millis(1);
/// How long the journal is idle before it writes a synced-to marker.
pub const MARKER_IDLE: Duration = Duration::from_millis(50);
/// How often an idle journal looks for messages past their age.
pub const JOURNAL_TICK: Duration = Duration::from_secs(1);
/// How often space is tried for again when the disk was full.
pub const FULL_RETRY: Duration = Duration::from_millis(250);
/// Parts into which retention divides what a topic keeps: it errs by one part at most.
pub const RETENTION_PARTS: u64 = 32;
/// Retention marks per topic; neighbours are merged beyond it.
pub const RETENTION_MARKS: usize = 128;
/// Bytes of a retention part where no retention is set; such marks only serve the byte count.
pub const RETENTION_PART_BYTES: u64 = 1 << 20;
/// Topics that one look for aged messages trims; the rest follows in the next group.
pub const TRIMS_PER_GROUP: usize = 1_024;
/// Damaged ranges that one acceptance of loss lists; more are merged into one, so that the entry
/// fits into the space kept in reserve.
pub const LOST_RANGES: usize = 16;
/// Damaged places that a recovery report lists; more are counted.
pub const DAMAGE_REPORTS: usize = 1_024;

/// Most copies that one topic can have, its host's included.
pub const COPIES: usize = 7;
/// How long a replica may trail its host before the host asks for a set without it (`replica_lag_ms`):
/// some hundred round trips of a network and tens of syncs, yet short enough to wait for.
pub const REPLICA_LAG: Duration = Duration::from_millis(1_000);
/// How long a replica has to wait with its next word that it knows a higher epoch than its host: each such
/// word holds the topic up for a round trip to the index, and an honest one is not needed twice.
pub const DOUBT_REST: Duration = Duration::from_secs(10);
/// Answers to a replica's joins that wait to be sent on its stream; with more, it is not read from.
pub const REPLICA_ANSWERS_WAITING: usize = 4_096;
/// After how long an assignment that the journal did not take is tried again: a full disk may have room
/// by then, and a million topics that do not fit must not keep the journal busy.
pub const ROLE_AGAIN: Duration = Duration::from_secs(5);
/// How long a copy may be away before another peer makes up for it (`repair_after_s`): longer than a
/// restart or an upgrade takes, for copying costs more than waiting.
pub const REPAIR_AFTER: Duration = Duration::from_secs(300);
/// Topics that get new copies for lost ones at the same time: bounds what repair takes from a
/// network's bandwidth.
pub const REPAIRS_AT_ONCE: usize = 16;
/// Bytes a second that a host sends to copies that are not in sync (`repair_mb_per_s`), unless told
/// otherwise: most of a gigabit network, a fifth of what a disk reads.
pub const REPAIR_BYTES_PER_S: u64 = 100_000_000;
/// How long a copy is not told how far its topics are committed, unless something else is sent to it: most
/// often the next messages are, and each packet wakes it.
pub const WATERMARK_WAIT: Duration = Duration::from_millis(5);
/// How often a host looks whether a copy that has to wait for that is in sync by now: much less than
/// [`REPLICA_LAG`], for its topic's publishers wait for it then.
pub const REPAIR_LOOK: Duration = Duration::from_millis(10);
/// Topics that get their first further copies at once, every [`SESSION_TICK`]: ten thousand a second,
/// so that a second peer does not have a million topics to open in one moment.
pub const PLACED_AT_ONCE: usize = 1_024;
/// Copies in one report of what a peer's journal holds: with names of the greatest length they fit a
/// request.
pub const COPIES_PER_REPORT: usize = 128;
/// Copies that an index takes word of for one recovery: a few hundred MB.
pub const COPIES_GATHERED: usize = 4_000_000;
/// How long an index waits for live peers to tell what their journals hold.
pub const COPIES_WAIT: std::time::Duration = std::time::Duration::from_secs(4);
/// Topics that one step of a recovery rebuilds.
pub const RECOVERED_AT_ONCE: usize = 1_024;
/// Topics of a leaving peer that move at the same time.
pub const MOVES_AT_ONCE: usize = 256;
/// How often a client asks how far a move is.
pub const MOVE_POLL: Duration = Duration::from_millis(100);
/// How long a client waits for the next of many topics to have moved: copying a large one takes a while.
pub const MOVE_STUCK: Duration = Duration::from_secs(60);
/// Bytes of one batch that the index holds while no host is live: events, not data. With the request
/// around it, it fits into [`METADATA_REQUEST_BYTES`].
pub const HELD_BATCH_BYTES: u64 = 60 << 10;
/// Bytes of held batches in one answer to a host that drains: half of [`METADATA_REPLY_BYTES`].
pub const DRAIN_PAGE_BYTES: u64 = METADATA_REPLY_BYTES as u64 / 2;
/// Held batches in one answer to a host that drains, and so changes in one commit that settles them.
pub const DRAIN_PAGE_BATCHES: usize = 1_024;
/// Topics that a host drains at once.
pub const DRAINS_AT_ONCE: usize = 16;
/// How long a publisher waits for the index's answer to a batch that it leaves there, after which nobody
/// knows whether it is held.
pub const HOLD_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages that the index holds for one topic.
pub const HELD_MESSAGES_PER_TOPIC: u64 = 10_000;
/// Bytes that the index holds for one topic.
pub const HELD_BYTES_PER_TOPIC: u64 = 64 << 20;
/// Messages that the index holds of one publisher in one topic, so that one cannot take all.
pub const HELD_MESSAGES_PER_PUBLISHER: u64 = 1_000;
/// Bytes that the index holds in all; its disk is small.
pub const HELD_BYTES: u64 = 1 << 30;
/// Questions of hosts to the index that are under way at once: the index commits them in groups.
pub const ASKS_IN_FLIGHT: usize = 256;
/// How long a host waits for the index's answer to a wish for another in-sync set, after which the
/// outcome counts as unknown.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// Frames of hosts that wait for the journal, beside one in the hands of each host's link: what is
/// written next is there when the journal has room, and no more.
pub const HOST_FRAMES_WAITING: usize = 4;
/// Topics by whose names a host is looked for at one try; any of them leads there, unless it has just moved.
pub const NAMES_TRIED: usize = 3;
/// How long a host waits before it tells again that a topic can be taken over.
pub const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Frames of assignments that wait for the one before.
pub const ASSIGN_FRAMES_WAITING: usize = 2;
/// Slots in one frame of acknowledgements or watermarks; a group sync of more topics sends several.
pub const SLOTS_PER_FRAME: usize = 4_096;
/// Positions in one frame to a replica.
pub const POSITIONS_PER_FRAME: usize = 4_096;
/// Runs of producers' sequences in one frame to a replica.
pub const RANGES_PER_FRAME: usize = 16_384;

const _: () = {
    assert!(EXTENT_BYTES <= SEGMENT_BYTES);
    assert!(GROUP_BYTES <= JOURNAL_QUEUE_BYTES);
    // Positions in a segment are kept as u32 counts of 8 bytes.
    assert!(SEGMENT_BYTES < 8 << 32);
    assert!(GROUP_BYTES + BATCH_BYTES < 1 << 30);
    assert!(RETENTION_PARTS * 2 < RETENTION_MARKS as u64);
    assert!(READ_MERGE_BYTES < READ_CHUNK_BYTES);
    // More could never be let in at once.
    assert!(APPENDS_TOGETHER <= APPENDS_PER_STREAM);
};
/// Changes waiting for the index's decider; beyond it requests wait in their streams.
pub const DECISIONS_QUEUED: usize = 4_096;
/// Requests decided and committed together; bounds what one failed commit can refuse.
pub const DECISIONS_PER_COMMIT: usize = 1_024;
/// Changes after which a commit is closed, so that a flood of large requests keeps commits short.
pub const CHANGES_PER_COMMIT: usize = 16_384;
/// Changes applied to the directory under one hold of its lock: readers wait some hundred
/// microseconds at most.
pub const CHANGES_PER_LOCK: usize = 256;
/// How long the creator of a topic waits for the host to accept it durably; half of
/// [`REPLY_TIMEOUT`], so that the creator hears it from the index.
pub const CREATE_WAIT: Duration = Duration::from_secs(5);
/// Assignment frames sent to a host and not acknowledged: what the index remembers per session.
pub const ASSIGN_FRAMES_IN_FLIGHT: usize = 8;
/// Differences waiting for a host; beyond it the host gets the full list again, from memory.
pub const ASSIGNMENTS_QUEUED: usize = 65_536;
/// How often reported metadata is written to the index's store.
pub const REPORT_FLUSH: Duration = Duration::from_secs(5);
/// How often the index looks for notices past [`NOTICE_AGE`].
pub const NOTICE_PRUNE: Duration = Duration::from_secs(3600);
/// How often the index looks for silent peers.
pub const SESSION_TICK: Duration = Duration::from_millis(100);
/// A gap between two looks beyond which the index was itself stopped or overloaded: it then counts
/// every session as just heard of, for it may have missed heartbeats that were sent.
pub const SESSION_TICK_LATE: Duration = Duration::from_millis(500);
/// Boot ids remembered per peer as fenced, so that an old process that comes back does not fence
/// its successor.
pub const FENCED_BOOTS: usize = 16;
/// Names that one page of a filtered listing looks at; the page then ends early and says so.
pub const NAMES_PER_PAGE_SCAN: usize = 16_384;
/// Names looked up under one hold of the directory's lock while listing.
pub const NAMES_PER_LOCK: usize = 256;
/// Topic slots looked at under one hold of the directory's lock while collecting a host's
/// assignments: a millisecond or two.
pub const SLOTS_PER_LOCK: u32 = 65_536;
/// Bytes, as estimated, at which a page of a listing ends: half of [`METADATA_REPLY_BYTES`], for the
/// estimate is rough.
pub const PAGE_BYTES: usize = METADATA_REPLY_BYTES / 2;
/// Notices on the first page of a peer's subscriptions.
pub const NOTICES_PER_PAGE: usize = 256;
/// Creations in one request from which on the log has one line for all of them.
pub const CREATIONS_LOGGED: usize = 16;
/// Serial numbers of passes reserved by one durable write.
pub const PASS_SERIALS_RESERVED: u64 = 1_024;
/// Cache of the index's database; lookups do not use it.
pub const STORE_CACHE_BYTES: usize = 16 << 20;
/// Topics whose names still fit the directory's 32-bit handles.
pub const TOPICS: usize = 1 << 30;
/// Bytes of `certs/admitted`: some ten thousand keys.
pub const ADMITTED_FILE_BYTES: u64 = 1 << 20;

const _: () = {
    assert!(MESSAGE_BYTES * 2 <= BATCH_BYTES);
    assert!(METADATA_REQUEST_BYTES <= METADATA_REPLY_BYTES);
    assert!(HELD_BATCH_BYTES + 1_024 <= METADATA_REQUEST_BYTES as u64);
    assert!(DRAIN_PAGE_BYTES + HELD_BATCH_BYTES < METADATA_REPLY_BYTES as u64);
    assert!(FRAME_BYTES > BATCH_BYTES);
    // One command to the journal writes what one frame brings; a run of sequences takes 40 bytes.
    assert!(RANGES_PER_FRAME * 40 + 64 <= BATCH_BYTES);
    assert!(FRAME_BYTES <= STREAM_WINDOW_BYTES as usize);
    assert!(STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES);
    assert!(CREATE_WAIT.as_millis() * 2 <= REPLY_TIMEOUT.as_millis());
    assert!(SESSION_TICK_LATE.as_millis() < LEASE_WAIT.as_millis());
    assert!(METADATA_REQUEST_BYTES <= CONNECTION_WINDOW_MIN_BYTES as usize);
    assert!(CONNECTIONS as u64 * CONNECTION_WINDOW_MIN_BYTES as u64 <= WINDOW_POOL_BYTES);
    assert!(WINDOW_PER_KEY_BYTES / WINDOW_PER_KEY_SHARE >= CONNECTION_WINDOW_BYTES as u64);
    assert!(WINDOW_POOL_BYTES / WINDOW_POOL_SHARE >= CONNECTION_WINDOW_BYTES as u64);
    assert!(HANDSHAKES_BEFORE_RETRY < HANDSHAKES);
    assert!(KEEP_ALIVE.as_millis() * 3 < IDLE_TIMEOUT.as_millis());
    assert!(HEARTBEAT.as_millis() * 3 <= LEASE.as_millis());
    // A clock drift of 20 % is covered.
    assert!(LEASE_WAIT.as_millis() * 8 >= LEASE.as_millis() * 12);
};
