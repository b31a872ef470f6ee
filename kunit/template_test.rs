// SPDX-License-Identifier: GPL-2.0

//! What rules give connections: templates, extensions that are added one by one, labels.

use crate::{
    bindings,
    maker::{
        self,
        case, //
    },
    object::{
        conn::{
            self,
            ext::{
                EventMasks,
                Kind, //
            },
            Attached,
            Conn, //
        },
        setting, //
    },
    pure::{
        state::{
            CtInfo,
            Status, //
        },
        tuple::Direction,
        zone::Zone, //
    },
    skbs::Buffer,
    sys::{
        memory,
        net::Net, //
    },
};
use core::ptr;
use kernel::{
    macros::kunit_tests,
    prelude::*, //
};

#[kunit_tests(rust_ct_template)]
mod tests {
    use super::*;

    /// A template is no connection, and goes with its last reference.
    #[test]
    fn templates() -> Result {
        case(|netns| {
            let zone = Zone {
                id: 7,
                ..Zone::DEFAULT
            };
            let template = Conn::template(Net::init(), zone, bindings::GFP_KERNEL).ok_or(ENOMEM)?;
            check_eq!(template.status(), Status::TEMPLATE);
            check_eq!(template.use_count(), 1);
            check_eq!(template.zone(), zone);
            check_eq!(netns.connections(), 0, "it is not counted");
            check!(maker::add_help(&template).is_some());
            check!(template.status().contains(Status::HELPER));
            check!(maker::add_help(&template).is_none(), "it has it");
            Ok(())
        })
    }

    /// The kernel's answer to a packet has the packet's connection, or the template of a packet
    /// that is not tracked yet.
    #[test]
    fn answers() -> Result {
        case(|_| {
            let (mut skb, mut answer) = (Buffer::new(b"packet")?, Buffer::new(b"answer")?);
            conn::attach_answer(answer.skb_mut(), skb.skb());
            check!(matches!(conn::attached(answer.skb()), Attached::Nothing));

            let template =
                Conn::template(Net::init(), Zone::DEFAULT, bindings::GFP_KERNEL).ok_or(ENOMEM)?;
            conn::attach(skb.skb_mut(), template.clone(), CtInfo::New);
            conn::attach_answer(answer.skb_mut(), skb.skb());
            let Attached::Template(its) = conn::attached(answer.skb()) else {
                return Err(ENOENT);
            };
            check!(ptr::eq(its, &*template));
            check_eq!(template.use_count(), 3);
            drop((conn::detach(skb.skb_mut()), conn::detach(answer.skb_mut())));
            check_eq!(template.use_count(), 1);

            let tracked = maker::begin(&maker::udp(1))?;
            for (info, answered) in [
                (CtInfo::New, CtInfo::RelatedReply),
                (CtInfo::EstablishedReply, CtInfo::Related),
            ] {
                conn::attach(skb.skb_mut(), tracked.clone(), info);
                conn::attach_answer(answer.skb_mut(), skb.skb());
                check_eq!(answer.info(), Some(answered));
                drop((conn::detach(skb.skb_mut()), conn::detach(answer.skb_mut())));
            }
            check_eq!(tracked.use_count(), 1);
            Ok(())
        })
    }

    /// Each extension that is added is zero, and leaves the others as they are.
    #[test]
    fn one_by_one() -> Result {
        case(|_| {
            let conn = maker::begin(&maker::udp(1))?;
            check!(maker::add_extension(&conn, Kind::Accounting).is_some());
            conn.account(Direction::Reply, 1500);
            check!(conn.help().is_none());
            check!(maker::add_help(&conn).is_some());
            check!(maker::add_extension(&conn, Kind::SeqAdj).is_some());
            check!(maker::add_extension(&conn, Kind::Accounting).is_none());
            let accounting = conn.accounting().ok_or(ENOENT)?;
            check_eq!(accounting.get(Direction::Original), (0, 0));
            check_eq!(accounting.get(Direction::Reply), (1, 1500));
            check!(conn.help().ok_or(ENOENT)?.expectations().is_empty());
            check_eq!(conn.lock().shift(Direction::Reply).offset_after, 0);

            maker::enter(&conn)?;
            let late = maker::add_extension(&conn, Kind::Labels);
            check!(late.is_none(), "others may be looking at them by now");
            Ok(())
        })
    }

    /// All extensions that there are fit beside each other.
    #[test]
    fn all_of_them() -> Result {
        case(|_| {
            let conn = maker::begin(&maker::udp(1))?;
            let mut added = 0;
            for id in 0..16 {
                if let Some(kind) = Kind::from_id(id) {
                    let place = maker::add_extension(&conn, kind);
                    check!(place.is_some(), "{kind:?}");
                    added += 1;
                }
            }
            check!(added >= 8, "{added}");
            Ok(())
        })
    }

    /// Events have room where the settings, or a rule, want them.
    #[test]
    fn events() -> Result {
        case(|_| {
            let net = Net::init();
            let (none, some) = (EventMasks::new(0, 0), EventMasks::new(6, 1));
            for (setting, masks, room) in [
                (0, none, false),
                (0, some, true),
                (1, none, true),
                (1, some, true),
                (2, some, false),
            ] {
                let conn = maker::begin(&maker::udp(1))?;
                setting::EVENTS.set(net, setting);
                let right = maker::alone(&conn).add_events(masks, memory::ATOMIC);
                setting::EVENTS.set(net, 2);
                check!(right, "{setting} {masks:?}");
                check_eq!(conn.event_masks().is_some(), room, "{setting} {masks:?}");
                if room && masks == some {
                    check_eq!(conn.event_masks(), Some(some));
                }
            }
            Ok(())
        })
    }

    /// Labels are changed word by word, by mask and value, where there is room for them.
    #[test]
    fn labels() -> Result {
        case(|_| {
            let conn = maker::begin(&maker::udp(1))?;
            let clear = [(u32::MAX, 0); 4];
            check_eq!(conn.replace_labels(&clear), Err(ENOSPC));
            let place = maker::add_extension(&conn, Kind::Labels).ok_or(ENOMEM)?;
            let words = || {
                // SAFETY: The extension is four words.
                unsafe { place.cast::<[u32; 4]>().read_volatile() }
            };
            check_eq!(words(), [0; 4]);
            for (changes, wanted) in [
                (
                    [(0, 5), (0, 0), (u32::MAX, 1 << 31), (0, 0)],
                    [5, 0, 1 << 31, 0],
                ),
                ([(4, 0), (0, 7), (0, 0), (0, 0)], [1, 7, 1 << 31, 0]),
                ([(0, 1), (0, 0), (0, 0), (1, 1)], [0, 7, 1 << 31, 1]),
                (clear, [0; 4]),
            ] {
                conn.replace_labels(&changes)?;
                check_eq!(words(), wanted, "{changes:?}");
            }
            Ok(())
        })
    }
}
