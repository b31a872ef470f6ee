// SPDX-License-Identifier: GPL-2.0

//! Our helpers, which the parameter `helpers` names: given to connections by their port where no
//! rule does it.

use crate::{
    datapath::helper::{
        ftp::Ftp,
        tftp::Tftp, //
    },
    object::helper::{
        builtin::{
            self,
            Place, //
        },
        Helper, //
    },
    pure::tuple::Tuple,
    sys::rcu::ReadSide, //
};
use kernel::{
    fmt::{
        self,
        Display,
        Formatter, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// At how many ports a helper may be asked for, as nf_conntrack_ftp has it (`MAX_PORTS`).
pub(crate) const PORTS: usize = 8;

/// A helper of ours, and where it is asked for.
pub(crate) struct Builtin {
    name: &'static [u8],
    proto: u8,
    place: &'static Place,
    register: fn(&Place, &'static ThisModule) -> Result,
    /// Named by the parameter.
    wanted: Atomic<bool>,
    /// In host order; zero where there is none.
    ports: [Atomic<u32>; PORTS],
}

/// FTP.
pub(crate) static FTP: Builtin = Builtin::new::<Ftp>(&builtin::FTP);
/// TFTP.
pub(crate) static TFTP: Builtin = Builtin::new::<Tftp>(&builtin::TFTP);

/// All of them.
static ALL: [&Builtin; 2] = [&FTP, &TFTP];

impl Builtin {
    const fn new<B: builtin::Builtin>(place: &'static Place) -> Self {
        Self {
            name: B::NAME,
            proto: B::PROTO,
            place,
            register: Place::register::<B>,
            wanted: Atomic::new(false),
            ports: [const { Atomic::new(0) }; PORTS],
        }
    }

    /// The helper, if it is registered.
    #[allow(dead_code)] // The tests call it.
    pub(crate) fn helper<'a>(&self, rcu: ReadSide<'a>) -> Option<&'a Helper> {
        self.place.helper(rcu)
    }

    /// Has it registered when the module is loaded, for these ports.
    pub(crate) fn want(&self, ports: &[u16; PORTS]) {
        self.wanted.store(true, Relaxed);
        for (slot, port) in self.ports.iter().zip(ports) {
            slot.store((*port).into(), Relaxed);
        }
    }

    #[inline]
    fn for_tuple<'a>(&self, tuple: &Tuple, rcu: ReadSide<'a>) -> Option<&'a Helper> {
        let helper = self.place.helper(rcu)?;
        if tuple.proto() != self.proto {
            return None;
        }
        let port = u32::from(tuple.dst_port());
        let wanted = port != 0 && self.ports.iter().any(|p| p.load(Relaxed) == port);
        wanted.then_some(helper)
    }
}

/// The names of all of them, as in `ftp and tftp`.
pub(crate) struct Names;

impl Display for Names {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, builtin) in ALL.iter().enumerate() {
            let before = match i {
                0 => "",
                i if i + 1 == ALL.len() => " and ",
                _ => ", ",
            };
            // All of them are ASCII.
            let name = core::str::from_utf8(builtin.name).unwrap_or_default();
            write!(f, "{before}{name}")?;
        }
        Ok(())
    }
}

/// The helper of that name, as the parameter has it.
pub(crate) fn of_name(name: &[u8]) -> Option<&'static Builtin> {
    ALL.into_iter().find(|builtin| builtin.name == name)
}

/// The helper for a connection that begins with a packet of this tuple, by its destination port.
#[inline]
pub(crate) fn of_port<'a>(tuple: &Tuple, rcu: ReadSide<'a>) -> Option<&'a Helper> {
    ALL.into_iter()
        .find_map(|builtin| builtin.for_tuple(tuple, rcu))
}

/// Helpers of ours are registered while this lives. It is to be dropped when all connections are
/// gone.
pub(crate) struct Registered(());

impl Registered {
    /// Registers the helpers that the parameter names. Process context.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(module: &'static ThisModule) -> Result<Self> {
        // What was registered is unregistered if a later one fails.
        let this = Self(());
        for builtin in ALL.into_iter().filter(|one| one.wanted.load(Relaxed)) {
            (builtin.register)(builtin.place, module)?;
        }
        Ok(this)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        for builtin in ALL {
            builtin.place.unregister();
        }
    }
}
