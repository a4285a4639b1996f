//! What was done to runs, counted.

macro_rules! faults {
    ($($(#[$meta:meta])* $name:ident $counts:literal,)*) => {
        /// What was done to a run.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct Faults {
            $($(#[$meta])* pub $name: u64,)*
        }

        impl Faults {
            /// How often something went wrong.
            pub fn total(&self) -> u64 {
                [$((self.$name, $counts)),*]
                    .iter()
                    .filter(|(_, counts)| *counts)
                    .map(|(many, _)| many)
                    .sum()
            }

            pub fn add(&mut self, other: &Faults) {
                $(self.$name += other.$name;)*
            }

            /// The kinds that never came.
            pub fn missing(&self) -> Vec<&'static str> {
                let all = [$((stringify!($name), self.$name)),*];
                let missing = all.iter().filter(|(_, many)| *many == 0);
                missing.map(|(name, _)| *name).collect()
            }
        }
    };
}

// Each kind, and whether it is a fault or what came of one.
faults! {
    crashes true,
    torn true,
    failed_syncs true,
    wipes true,
    /// Bits that flip in what is durable; damage found at a start, and by a read; bits in a torn end.
    flips true,
    start_flips false,
    read_flips false,
    tail_flips false,
    full true,
    pauses true,
    partitions true,
    dropped true,
    doubled true,
    index_restarts true,
    broken_streams true,
    /// Messages that copies were sent before their host had synced them.
    sent_early false,
    /// Hand-overs that were wished for, and those that came about.
    moves true,
    moved false,
    /// Retention, and the tables that a copy needed for what it never had.
    trims false,
    dedupe_tables false,
    /// Messages that the index took, and those of them that a host brought into the log.
    held false,
    drained false,
    /// Drained messages that the log had already.
    drained_again false,
}
