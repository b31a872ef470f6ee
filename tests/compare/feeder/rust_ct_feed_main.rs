// SPDX-License-Identifier: GPL-2.0

//! Sends packets past the hooks of the writer's network namespace, and tells what is attached to
//! them afterwards, with either tracker.
//!
//! /dev/rust_ct_feed takes steps and gives records, both as in `format.rs`. A write is played as a
//! whole; what is read then are its records.

#[path = "../../../rust_ct/bindings.rs"]
mod bindings;
#[path = "../format.rs"]
#[allow(dead_code, unreachable_pub)] // The program uses the rest.
mod format;
mod look;

use core::ptr::NonNull;
use format::{
    Record,
    Step,
    COUNTERS,
    INFO_GONE,
    STEP_BEGIN,
    STEP_DROP,
    STEP_VERIFIED,
    VERDICT_ACCEPT,
    VERDICT_DROP,
    VERDICT_NONE,
    VERDICT_STOLEN,
    WAY_IN,
    WAY_NETLINK,
    WAY_OUT,
    WAY_THROUGH, //
};
use kernel::{
    fs::{
        File,
        Kiocb, //
    },
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    new_mutex,
    prelude::*,
    sync::Mutex, //
};
use zerocopy::{
    FromBytes,
    FromZeros,
    IntoBytes, //
};

module! {
    type: RustCtFeed,
    name: "rust_ct_feed",
    authors: ["The rust_ct developers"],
    description: "Feeder of the comparison of connection trackers",
    license: "GPL",
}

/// The most bytes of one write.
const ROOM: usize = 1 << 20;

/// The timeout policies that were made, which are given up with this.
struct Policies;

impl Drop for Policies {
    fn drop(&mut self) {
        // SAFETY: No task is left that could ask for a policy.
        unsafe { bindings::rct_feed_free_policies() };
    }
}

/// What modules draw for the player follows from its steps, until this is gone.
struct Chance(());

impl Chance {
    fn take() -> Option<Self> {
        // SAFETY: Process context; what is redirected is given back before the module is gone.
        let error = unsafe { bindings::rct_feed_take_chance() };
        if error != 0 {
            pr_notice!("nothing can be probed ({error}): only modules that ask draw alike\n");
            return None;
        }
        Some(Self(()))
    }
}

impl Drop for Chance {
    fn drop(&mut self) {
        // SAFETY: It was taken.
        unsafe { bindings::rct_feed_give_chance_back() };
    }
}

/// A number that bytes are scattered to (FNV-1a).
fn number_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |number, &byte| {
        (number ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The loaded module. Fields are dropped in their order.
#[pin_data]
struct RustCtFeed {
    #[pin]
    _device: MiscDeviceRegistration<Feed>,
    _policies: Policies,
    _chance: Option<Chance>,
}

impl kernel::InPlaceModule for RustCtFeed {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _device <- MiscDeviceRegistration::register(MiscDeviceOptions {
                name: c"rust_ct_feed",
            }),
            _policies: Policies,
            _chance: Chance::take(),
        })
    }
}

/// An open file.
#[pin_data]
struct Feed {
    #[pin]
    inner: Mutex<Inner>,
}

/// What a file remembers between a write and the next.
struct Inner {
    records: KVVec<u8>,
    case: Case,
}

#[vtable]
impl MiscDevice for Feed {
    type Ptr = Pin<KBox<Self>>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        KBox::try_pin_init(
            try_pin_init!(Self {
                inner <- new_mutex!(Inner { records: KVVec::new(), case: Case::default() }),
            }),
            GFP_KERNEL,
        )
    }

    fn read_iter(mut kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let this = kiocb.file();
        let inner = this.inner.lock();
        iov.simple_read_from_buffer(kiocb.ki_pos_mut(), &inner.records)
    }

    fn write_iter(mut kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterSource<'_>) -> Result<usize> {
        if iov.len() > ROOM {
            return Err(EMSGSIZE);
        }
        let mut steps = KVVec::new();
        let len = iov.copy_from_iter_vec(&mut steps, GFP_KERNEL)?;
        let this = kiocb.file();
        let mut inner = this.inner.lock();
        inner.play(&steps)?;
        *kiocb.ki_pos_mut() = 0;
        Ok(len)
    }
}

impl Inner {
    /// Plays steps that lie behind each other.
    fn play(&mut self, mut steps: &[u8]) -> Result {
        self.records.clear();
        while !steps.is_empty() {
            let (step, rest) = Step::read_from_prefix(steps).map_err(|_| EINVAL)?;
            let (packet, rest) = rest.split_at_checked(step.len as usize).ok_or(EINVAL)?;
            self.case.play(&step, packet, &mut self.records)?;
            steps = rest;
        }
        Ok(())
    }
}

/// The case that is being played.
#[derive(Default)]
struct Case {
    /// When it began, and what was waited since, in jiffies.
    began: usize,
    waited: usize,
    /// The namespace's counters when it began.
    counters: [u32; COUNTERS],
}

impl Case {
    /// Plays one step, and appends its record.
    fn play(&mut self, step: &Step, bytes: &[u8], records: &mut KVVec<u8>) -> Result {
        // SAFETY: A running task has a namespace, which only the task changes.
        let net = unsafe { bindings::rct_current_net() };
        let mut record = Record::new_zeroed();
        // SAFETY: Any number will do.
        unsafe { bindings::rct_feed_set_chance(number_of(bytes)) };
        if step.way == WAY_NETLINK {
            self.wait(step, net);
            self.count(net, &mut record);
            return Ok(records.extend_from_slice(record.as_bytes(), GFP_KERNEL)?);
        }
        let (first, second, out) = match step.way {
            WAY_IN => (
                bindings::nf_inet_hooks_NF_INET_PRE_ROUTING,
                bindings::nf_inet_hooks_NF_INET_LOCAL_IN,
                false,
            ),
            WAY_THROUGH => (
                bindings::nf_inet_hooks_NF_INET_PRE_ROUTING,
                bindings::nf_inet_hooks_NF_INET_POST_ROUTING,
                false,
            ),
            WAY_OUT => (
                bindings::nf_inet_hooks_NF_INET_LOCAL_OUT,
                bindings::nf_inet_hooks_NF_INET_POST_ROUTING,
                true,
            ),
            _ => return Err(EINVAL),
        };
        let header = match u32::from(step.family) {
            bindings::NFPROTO_IPV4 => 20,
            bindings::NFPROTO_IPV6 => 40,
            _ => return Err(EINVAL),
        };
        if bytes.len() < header {
            return Err(EINVAL);
        }

        self.wait(step, net);
        let mut skb = Buffer::new(net, step, bytes)?;
        (record.verdict_first, record.verdict_second) = (VERDICT_NONE, VERDICT_NONE);
        if !out || skb.route(step.family) {
            record.verdict_first = skb.pass(step.family, first, out);
        }
        record.info_first = skb.look(&mut record);
        record.info = record.info_first;
        let goes_on = record.verdict_first == VERDICT_ACCEPT && step.flags & STEP_DROP == 0;
        // What this machine sends has its route, which NAT renews.
        if goes_on && (out || skb.route(step.family)) {
            record.verdict_second = skb.pass(
                step.family,
                second,
                second != bindings::nf_inet_hooks_NF_INET_LOCAL_IN,
            );
            record.info = skb.look(&mut record);
        }
        self.count(net, &mut record);
        let bytes = skb.bytes()?;
        // CAST: A packet is shorter.
        record.len = bytes.len() as u32;
        records.extend_from_slice(record.as_bytes(), GFP_KERNEL)?;
        Ok(records.extend_from_slice(&bytes, GFP_KERNEL)?)
    }

    /// Writes down what was counted since the case began, and how many ticks there were.
    fn count(&self, net: *mut bindings::net, record: &mut Record) {
        // CAST: Cases are short.
        record.ticks = look::jiffies()
            .wrapping_sub(self.began)
            .wrapping_sub(self.waited) as u32;
        let counters = look::counters(net);
        for (i, counter) in record.counters.iter_mut().enumerate() {
            *counter = counters[i].wrapping_sub(self.counters[i]);
        }
    }

    /// Lets the time before a step pass.
    fn wait(&mut self, step: &Step, net: *mut bindings::net) {
        if step.flags & STEP_BEGIN != 0 {
            *self = Self {
                began: look::jiffies(),
                waited: 0,
                counters: look::counters(net),
            };
        }
        // SAFETY: Any number will do.
        let ticks = unsafe { bindings::rct_feed_jiffies(step.delay) };
        if ticks > 0 {
            // SAFETY: Process context.
            unsafe { bindings::rct_feed_advance(ticks) };
            self.waited = self.waited.wrapping_add(ticks);
        }
    }
}

/// A packet that is ours, or is gone.
struct Buffer {
    skb: Option<NonNull<bindings::sk_buff>>,
    net: *mut bindings::net,
}

impl Buffer {
    /// A packet of a namespace, with the template that a step asks for.
    fn new(net: *mut bindings::net, step: &Step, bytes: &[u8]) -> Result<Self> {
        let verified = step.flags & STEP_VERIFIED != 0;
        // SAFETY: The namespace is that of the running task; the bytes hold a whole IP header.
        let skb = unsafe {
            bindings::rct_feed_skb(
                net,
                step.family,
                verified,
                step.mark,
                bytes.as_ptr().cast(),
                step.len,
            )
        };
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        let buffer = Self {
            skb: Some(skb),
            net,
        };
        if step.zone_dir != 0
            // SAFETY: Namespace and packet are valid, and the packet is ours.
            && !unsafe {
                bindings::rct_feed_template(
                    net,
                    skb.as_ptr(),
                    step.zone,
                    step.zone_flags,
                    step.zone_dir,
                    step.policy,
                )
            }
        {
            return Err(ENOMEM);
        }
        Ok(buffer)
    }

    /// Sends the packet past a hook. It is gone if it does not go on.
    fn pass(&mut self, family: u8, hook: u32, out: bool) -> u8 {
        let Some(skb) = self.skb else {
            return VERDICT_NONE;
        };
        // SAFETY: Namespace and packet are valid, and the packet is ours to hand over.
        let verdict = unsafe { bindings::rct_feed_hook(self.net, skb.as_ptr(), family, hook, out) };
        match verdict {
            1 => VERDICT_ACCEPT,
            gone => {
                self.skb = None;
                if gone == 0 {
                    VERDICT_STOLEN
                } else {
                    VERDICT_DROP
                }
            }
        }
    }

    /// Finds the packet its route; returns whether there is one.
    fn route(&self, family: u8) -> bool {
        self.skb.is_some_and(|skb| {
            // SAFETY: Namespace and packet are valid, and the packet is ours.
            unsafe { bindings::rct_feed_route(self.net, skb.as_ptr(), family) }
        })
    }

    /// The bytes of the packet, if it is not gone.
    fn bytes(&self) -> Result<KVVec<u8>> {
        let Some(skb) = self.skb else {
            return Ok(KVVec::new());
        };
        // SAFETY: The packet is ours.
        let len = unsafe { bindings::rct_feed_len(skb.as_ptr()) };
        let mut bytes = KVVec::from_elem(0u8, len as usize, GFP_KERNEL)?;
        // SAFETY: The packet is ours, and there is so much room.
        if !unsafe { bindings::rct_feed_bytes(skb.as_ptr(), bytes.as_mut_ptr().cast(), len) } {
            return Err(EFAULT);
        }
        Ok(bytes)
    }

    /// Writes down what is attached to the packet, and gives what the packet is to it.
    fn look(&self, record: &mut Record) -> u8 {
        match self.skb {
            // SAFETY: The packet is ours alone.
            Some(skb) => look::attached(unsafe { bindings::rct_feed_nfct(skb.as_ptr()) }, record),
            None => INFO_GONE,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(skb) = self.skb {
            // SAFETY: The packet is ours.
            unsafe { bindings::rct_feed_free(skb.as_ptr()) };
        }
    }
}
