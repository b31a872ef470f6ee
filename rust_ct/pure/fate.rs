// SPDX-License-Identifier: GPL-2.0

//! What becomes of connections, in the words of the tracepoints: why one is in the table, why one
//! is refused, why one has ended. Why a packet is INVALID is in [`crate::pure::reason`].

/// Defines an enumeration from a table of sentence, variant and word.
macro_rules! words {
    (
        $(#[$about:meta])*
        enum $words:ident {
            $(#[doc = $sentence:literal] $variant:ident = $word:literal,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $words {
            $(#[doc = $sentence] $variant,)*
        }

        impl $words {
            /// All of them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word.
            pub(crate) const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

words! {
    /// How a connection got into the table.
    enum Begun {
        /// By its first packet.
        New = "new",
        /// By its first packet, which was expected.
        Related = "related",
        /// By its replies alone, because another connection has the tuple of its first packet.
        Beside = "clash_resolve",
        /// By user space, or a BPF program.
        Inserted = "insert",
    }
}

words! {
    /// Why a connection is refused, and the packet that would begin it dropped.
    enum Refused {
        /// The namespace has too many, and none can go.
        Full = "table_full",
        /// There is no memory.
        Memory = "no_memory",
        /// Another connection has one of its tuples.
        Taken = "tuple_taken",
        /// Its place in the table is crowded.
        Crowded = "chain_too_long",
        /// It was ended before it was confirmed.
        Ended = "ended_before",
        /// A copy of its first packet was here first.
        Twice = "confirmed_already",
        /// There is no table.
        NoTable = "no_table",
    }
}

words! {
    /// Why a connection has ended.
    enum Ended {
        /// Its time was over.
        Expired = "expired",
        /// It had to make room.
        EarlyDrop = "early_drop",
        /// Its ports are used for another TCP connection.
        Reused = "tcp_reuse",
        /// TCP reset it before it was established.
        Reset = "tcp_reset",
        /// It was deleted by user space, or by another module.
        Deleted = "deleted",
        /// It was flushed: all of a kind were deleted.
        Flushed = "flushed",
        /// The connection that had announced it is over.
        Master = "master_ended",
        /// Its namespace, or the module, goes.
        Netns = "netns_exit",
    }
}

words! {
    /// Why a packet with a connection is dropped.
    enum Dropped {
        /// The helper of its connection says so.
        Helper = "helper",
        /// Its sequence numbers could not be shifted.
        SeqAdjust = "seq_adjust",
    }
}

words! {
    /// Why a connection is not expected, although a helper wants it to be.
    enum NotExpected {
        /// The connection that announces it has no helper any more.
        NoHelper = "no_helper",
        /// It is given up, entered already, or of no class of the helper's.
        Unfit = "unfit",
        /// The same packet is expected already, by another connection or in another class.
        Already = "already",
        /// Another expectation is for some of the same packets.
        Clash = "clash",
        /// Too many connections are expected.
        Full = "table_full",
    }
}
