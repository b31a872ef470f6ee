// SPDX-License-Identifier: GPL-2.0

//! The life of a namespace's tracking: what is set up when a namespace is born or the module
//! loaded, and taken down when either goes.

use crate::{
    datapath::{
        end,
        hooks, //
    },
    interface::{
        proc,
        sysctl, //
    },
    object::{
        l4proto::for_each_timeout,
        netns::Netns,
        setting, //
    },
    sys::{
        hook::{
            self,
            Set, //
        },
        net::Net,
        param,
        pernet::{
            Here,
            PerNet, //
        },
        time, //
    },
};
use core::mem;
use kernel::{
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    },
};

/// How long to wait for connections that packets still hold, before saying so, in jiffies. A packet
/// that is merely on its way is gone by then; a packet in a socket's buffer may stay for ever.
const PATIENCE: u32 = 10 * time::HZ;

impl PerNet for Netns {
    fn init(here: Here<'_>) -> impl PinInit<Self, Error> {
        set_defaults(here.net());
        Self::new(here)
    }

    fn start(&self, here: Here<'_>) -> Result {
        let net = here.net();
        *self.settings.lock() = sysctl::create(here)?;
        *self.files.lock() = Some(proc::create(here)?);
        if param::enable_hooks() {
            hooks::get_for_ever(net)?;
        }
        Ok(())
    }

    fn hooks(&self) -> [&Set; 2] {
        [&self.hooks_ipv4, &self.hooks_ipv6]
    }

    fn unhooked(&self, net: &Net, which: usize) {
        hooks::unhooked(net, which);
    }

    fn stop(&self, net: &Net) {
        self.hooks_bridge.shut(net);
        // Waits for readers to leave.
        let files = self.files.lock().take();
        let settings = mem::take(&mut *self.settings.lock());
        drop((files, settings));
    }

    fn exit(&self, net: &Net) {
        // Packets that wait for a program hold connections; without our hooks they have nowhere to
        // go on.
        hook::drop_queued(net);
        let began = time::now();
        let mut warned = false;
        while self.connections() > 0 {
            end::kill_all(Some(net));
            // There is no listener any more. A look at the whole table is not worth a few of them.
            let mut told = 0;
            while !self.dying.deliver(i64::MAX, &mut told) && told > 0 {
                told = 0;
            }
            if !warned && time::now().wrapping_sub(began) >= PATIENCE {
                pr_warn!(
                    "netns {}: waiting for {} connections that packets still hold\n",
                    net.inum(),
                    self.connections()
                );
                warned = true;
            }
            fsleep(Delta::from_millis(1));
        }
    }
}

/// Gives a namespace the settings of nf_conntrack.
fn set_defaults(net: &Net) {
    // Nothing here fails.
    let _ = for_each_timeout(&mut |timeout| {
        (timeout.set)(net, timeout.default);
        Ok(())
    });
    setting::set_defaults(net);
}
