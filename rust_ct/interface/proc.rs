// SPDX-License-Identifier: GPL-2.0

//! What can be read in /proc: the connections of a namespace, and its counters.

use crate::{
    datapath::end,
    interface::top,
    object::{
        conn::Conn,
        expect::{
            self,
            Expect, //
        },
        helper,
        netns::NETNS,
        stat::{
            Stat,
            COUNT, //
        },
        table::{
            Cursor,
            Which,
            TABLE, //
        },
    },
    pure::{
        expect_line::ExpectLine,
        fate::Ended,
        l4proto::{
            dispatch,
            L4Proto, //
        },
        line::Line,
        payload::ftp::Refused,
        reason::Reason,
        tuple::Direction, //
    },
    sys::{
        net::Net,
        percpu,
        pernet::Here,
        proc::{
            Dir,
            File,
            Output,
            Walk, //
        },
        rcu::ReadSide,
        refcount::Counted,
        time, //
    },
};
use core::fmt::Write;
use kernel::{
    prelude::*,
    security::SecurityCtx,
    sync::{
        aref::ARef,
        rcu, //
    },
};

/// Creates the files of a namespace. Process context.
pub(crate) fn create(here: Here<'_>) -> Result<[File; 5]> {
    Ok([
        File::create::<Connections>(here, Dir::Net, c"nf_conntrack", 0o440)?,
        File::create::<Expectations>(here, Dir::Net, c"nf_conntrack_expect", 0o440)?,
        File::create::<CpuCounters>(here, Dir::Stat, c"nf_conntrack", 0o444)?,
        File::create::<Counters>(here, Dir::Stat, c"rust_ct", 0o444)?,
        File::create::<top::Text>(here, Dir::Net, c"rust_ct_top", 0o440)?,
    ])
}

/// /proc/net/nf_conntrack: a line for each connection.
///
/// Between two lines nothing is held but the place of the last connection; see
/// [`crate::object::table::Table::seek`].
#[derive(Clone, Copy)]
struct Connections(Option<Cursor>);

impl Connections {
    fn seek(&mut self, net: &Net) -> Option<ARef<Conn>> {
        let found = TABLE.seek(self.0?, Which::Listed, Some(net));
        self.0 = found.as_ref().map(|(_, cursor)| *cursor);
        found.map(|(conn, _)| conn)
    }
}

impl Walk for Connections {
    type Item = ARef<Conn>;

    fn begin() -> Self {
        Self(Some(Cursor::BEGIN))
    }

    fn current(&mut self, net: &Net) -> Option<Self::Item> {
        self.seek(net)
    }

    fn advance(&mut self, net: &Net) -> Option<Self::Item> {
        self.0 = self.0.and_then(Cursor::next);
        self.seek(net)
    }

    fn show(&self, conn: &Self::Item, _net: &Net, out: &mut Output) -> Result {
        if conn.is_overdue() {
            end::kill_as(conn, Ended::Expired);
            return Ok(());
        }
        // What does not fit is asked for again.
        let secctx = SecurityCtx::from_secid(conn.secmark()).ok();
        let _ = write!(out, "{}", line(conn, secctx.as_ref().and_then(text)));
        Ok(())
    }
}

/// A security context as text, which may end before its bytes do.
fn text(secctx: &SecurityCtx) -> Option<&str> {
    let text = secctx.as_bytes().split(|&byte| byte == 0).next()?;
    core::str::from_utf8(text).ok()
}

/// What there is to say about a connection.
pub(crate) fn line<'a>(conn: &Conn, secctx: Option<&'a str>) -> Line<'a> {
    let status = conn.status();
    Line {
        original: conn.tuple(Direction::Original),
        reply: conn.tuple(Direction::Reply),
        zone: conn.zone(),
        counters: conn
            .accounting()
            .map(|accounting| Direction::BOTH.map(|dir| accounting.get(dir))),
        status,
        seconds: conn.remaining() / time::HZ,
        private: dispatch!(conn.proto(), P => P::show(&conn.private_of::<P>(), status, time::HZ)),
        mark: conn.mark(),
        secctx,
        age: conn.age(),
        use_count: conn.use_count(),
    }
}

/// /proc/net/nf_conntrack_expect: a line for each connection that is expected.
#[derive(Clone, Copy)]
struct Expectations(expect::Cursor);

impl Expectations {
    fn seek(&mut self, net: &Net) -> Option<Counted<Expect>> {
        let (exp, cursor) = expect::seek(self.0, net)?;
        self.0 = cursor;
        Some(exp)
    }
}

impl Walk for Expectations {
    type Item = Counted<Expect>;

    fn begin() -> Self {
        Self(expect::Cursor::BEGIN)
    }

    fn current(&mut self, net: &Net) -> Option<Self::Item> {
        self.seek(net)
    }

    fn advance(&mut self, net: &Net) -> Option<Self::Item> {
        self.0 = self.0.next();
        self.seek(net)
    }

    fn show(&self, exp: &Self::Item, _net: &Net, out: &mut Output) -> Result {
        let guard = rcu::read_lock();
        let helper = exp.helper(ReadSide::of(&guard));
        let names = helper.map(|helper| (helper.name(), helper.class_name(exp.class())));
        let line = ExpectLine {
            seconds: exp.seconds(),
            tuple: exp.tuple(),
            flags: exp.flags(),
            helper: (names.as_ref()).map(|(name, class)| (helper::text(name), helper::text(class))),
        };
        let _ = write!(out, "{line}");
        Ok(())
    }
}

/// /proc/net/stat/nf_conntrack: the names of the counters, then a line for each CPU.
///
/// Source: net/netfilter/nf_conntrack_standalone.c, ct_cpu_seq_show().
#[derive(Clone, Copy)]
struct CpuCounters(u32);

/// A line of [`CpuCounters`].
enum CpuLine {
    /// The names.
    Header,
    /// The counters of a CPU.
    Cpu(u32),
}

impl Walk for CpuCounters {
    type Item = CpuLine;

    fn begin() -> Self {
        Self(0)
    }

    fn current(&mut self, _net: &Net) -> Option<CpuLine> {
        // Line 0 is the header, and that of CPU n is line n + 1.
        let Some(cpu) = self.0.checked_sub(1) else {
            return Some(CpuLine::Header);
        };
        let cpu = (cpu..percpu::cpus()).find(|&cpu| percpu::possible(cpu))?;
        self.0 = cpu.saturating_add(1);
        Some(CpuLine::Cpu(cpu))
    }

    fn advance(&mut self, net: &Net) -> Option<CpuLine> {
        self.0 = self.0.saturating_add(1);
        self.current(net)
    }

    fn show(&self, line: &CpuLine, net: &Net, out: &mut Output) -> Result {
        let &CpuLine::Cpu(cpu) = line else {
            out.write(
                b"entries  clashres found new invalid ignore delete chainlength insert \
                  insert_failed drop early_drop icmp_error  expect_new expect_create \
                  expect_delete search_restart\n",
            );
            return Ok(());
        };
        let Some(netns) = NETNS.get(net) else {
            return Ok(());
        };
        let n = |stat| netns.stats.on_cpu(cpu, stat);
        let _ = writeln!(
            out,
            "{:08x}  {:08x} {:08x} {:08x} {:08x} {:08x} {:08x} {:08x} \
             {:08x} {:08x} {:08x} {:08x} {:08x}  {:08x} {:08x} {:08x} {:08x}",
            netns.connections(),
            n(Stat::ClashResolve),
            n(Stat::Found),
            0,
            n(Stat::Invalid),
            0,
            0,
            n(Stat::ChainTooLong),
            n(Stat::Insert),
            n(Stat::InsertFailed),
            n(Stat::Drop),
            n(Stat::EarlyDrop),
            n(Stat::Error),
            n(Stat::ExpectNew),
            n(Stat::ExpectCreate),
            n(Stat::ExpectDelete),
            n(Stat::SearchRestart),
        );
        Ok(())
    }
}

/// How many lines of [`Counters`] say what is so now.
const NOW: usize = 2;

/// /proc/net/stat/rust_ct: the same to be read by users, a name and a sum over all CPUs in each
/// line, and one line for each reason for which a packet was INVALID.
#[derive(Clone, Copy)]
struct Counters(usize);

impl Walk for Counters {
    type Item = usize;

    fn begin() -> Self {
        Self(0)
    }

    fn current(&mut self, _net: &Net) -> Option<usize> {
        // What is so now, then all that is counted.
        (self.0 < NOW + COUNT).then_some(self.0)
    }

    fn advance(&mut self, net: &Net) -> Option<usize> {
        self.0 = self.0.saturating_add(1);
        self.current(net)
    }

    fn show(&self, &line: &usize, net: &Net, out: &mut Output) -> Result {
        let Some(netns) = NETNS.get(net) else {
            return Ok(());
        };
        let Some(line) = line.checked_sub(NOW) else {
            let _ = match line {
                0 => writeln!(out, "entries {}", netns.connections()),
                _ => writeln!(out, "timeout_percent {}", netns.timeout_percent()),
            };
            return Ok(());
        };
        if let Some(&(stat, name)) = Stat::ALL.get(line) {
            let _ = writeln!(out, "{name} {}", netns.stats.total(stat));
        } else if let Some(&reason) = Reason::ALL.get(line.wrapping_sub(Stat::ALL.len())) {
            let total = netns.stats.total_reason(reason);
            let _ = writeln!(out, "invalid_{} {total}", reason.name());
        } else if let Some(&refused) =
            Refused::ALL.get(line.wrapping_sub(Stat::ALL.len() + Reason::COUNT))
        {
            let total = netns.stats.total_refused(refused);
            let _ = writeln!(out, "refused_{} {total}", refused.name());
        }
        Ok(())
    }
}
