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
/// Bytes of batches that a host puts into one Data frame unless one batch alone is larger. Large
/// writes matter: 100 byte writes to a stream are twenty times slower than 64 KiB ones.
pub const DATA_FRAME_BYTES: usize = 256 << 10;

/// Entries on one page of a listing.
pub const PAGE_ENTRIES: u32 = 1_000;
/// Topic reports in one frame of a session's report stream.
pub const REPORTS_PER_FRAME: usize = 4_096;
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

/// Producers remembered per topic for dedupe, the most recent by log offset.
pub const PRODUCERS_PER_TOPIC: usize = 1_024;
/// (sequence, offset) ranges remembered per producer of a topic: the largest in-flight window.
pub const RANGES_PER_PRODUCER: usize = 1_024;

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
/// Bytes of unacknowledged sent data per connection.
pub const SEND_WINDOW_BYTES: u64 = 16 << 20;
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
/// How often an idle connection that somebody waits on is probed.
pub const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// How long a client waits for the reply to a metadata request.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a hosting peer sends a heartbeat.
pub const HEARTBEAT: Duration = Duration::from_millis(300);
/// How long a host may act on a heartbeat, counted from its sending (L in docs of leases).
pub const LEASE: Duration = Duration::from_millis(1_200);
/// How long the index waits after a heartbeat before it declares the peer away (W); safe while
/// W >= L (1 + r) / (1 - r) for clocks that drift by the rate r.
pub const LEASE_WAIT: Duration = Duration::from_millis(1_800);

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
/// Extents that are not zeroed after the writer has caught up with their preparer: enough that a
/// stream of large groups stays unhindered, few enough that single appends soon find zeroed space.
pub const HURRIED_EXTENTS: u32 = 16;
/// Bytes of commands that the journal's writer puts into one group: a sync of 4 MiB still takes
/// only milliseconds, and more would only add delay.
pub const GROUP_BYTES: usize = 4 << 20;
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
/// Segment files kept open for reading; far below the usual limit of 1,024 descriptors.
pub const OPEN_SEGMENTS: usize = 128;
/// Bytes of decoded footer tables kept for reading.
pub const FOOTER_CACHE_BYTES: usize = 32 << 20;
/// Bytes between two wanted entries below which one read fetches both.
pub const READ_MERGE_BYTES: u64 = 64 << 10;
/// Bytes of one read from a segment unless one entry alone is larger: bounds what a read allocates.
pub const READ_CHUNK_BYTES: u64 = 1 << 20;
/// Bytes that a scan of a segment reads at once.
pub const SCAN_BYTES: usize = 4 << 20;
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

const _: () = {
    assert!(EXTENT_BYTES <= SEGMENT_BYTES);
    assert!(GROUP_BYTES <= JOURNAL_QUEUE_BYTES);
    // Positions in a segment are kept as u32 counts of 8 bytes.
    assert!(SEGMENT_BYTES < 8 << 32);
    assert!(GROUP_BYTES + BATCH_BYTES < 1 << 30);
    assert!(RETENTION_PARTS * 2 < RETENTION_MARKS as u64);
    assert!(READ_MERGE_BYTES < READ_CHUNK_BYTES);
};

const _: () = {
    assert!(MESSAGE_BYTES * 2 <= BATCH_BYTES);
    assert!(METADATA_REQUEST_BYTES <= METADATA_REPLY_BYTES);
    assert!(FRAME_BYTES > BATCH_BYTES);
    assert!(FRAME_BYTES <= STREAM_WINDOW_BYTES as usize);
    assert!(STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES);
    assert!(HEARTBEAT.as_millis() * 3 <= LEASE.as_millis());
    // A clock drift of 20 % is covered.
    assert!(LEASE_WAIT.as_millis() * 8 >= LEASE.as_millis() * 12);
};
