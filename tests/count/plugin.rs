// SPDX-License-Identifier: GPL-2.0

//! A plugin of QEMU that counts what runs between the marks of `rust_ct_meter.ko`: instructions,
//! locked instructions, calls, accesses to memory, and lines of 64 bytes of code and data.
//!
//! ```text
//! qemu-system-x86_64 -plugin file=libplugin.so,out=COUNTS[,at=ADDRESSES] ...
//! ```
//!
//! COUNTS gets a line for each stretch: the number that the module gave it, and the fields of
//! [`Counts`] in their order. ADDRESSES gets, for the last stretch of each number, a line for each
//! address that ran there: the number, the address, how often.
//!
//! Nothing is looked at as long as the module has not said that it begins, so a guest boots at its
//! usual speed.

use std::{
    collections::{HashMap, HashSet},
    ffi::{c_char, c_int, c_uint, c_void, CStr},
    fs::File,
    io::Write,
    mem::take,
    ptr,
    sync::{LazyLock, Mutex, MutexGuard},
};

/// As much as is used here of version 4 of QEMU's interface for plugins, whose header no package
/// of Debian has.
mod qemu {
    use super::*;

    /// What QEMU calls a block, or an instruction in it, while it is translated.
    pub(crate) type Handle = *mut c_void;
    pub(crate) type OnBlock = extern "C" fn(u64, Handle);
    pub(crate) type OnRun = extern "C" fn(c_uint, *mut c_void);
    pub(crate) type OnAccess = extern "C" fn(c_uint, u32, u64, *mut c_void);

    /// `QEMU_PLUGIN_CB_NO_REGS`.
    pub(crate) const NO_REGISTERS: c_int = 0;
    /// `QEMU_PLUGIN_MEM_RW`.
    pub(crate) const READS_AND_WRITES: c_int = 3;

    /// `qemu_plugin_mem_value`.
    #[repr(C)]
    pub(crate) struct Value {
        pub(crate) kind: c_int,
        /// Smaller values lie in its first bytes.
        pub(crate) data: [u64; 2],
    }

    extern "C" {
        pub(crate) fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, call: OnBlock);
        pub(crate) fn qemu_plugin_register_vcpu_insn_exec_cb(
            insn: Handle,
            call: OnRun,
            flags: c_int,
            data: *mut c_void,
        );
        pub(crate) fn qemu_plugin_register_vcpu_mem_cb(
            insn: Handle,
            call: OnAccess,
            flags: c_int,
            which: c_int,
            data: *mut c_void,
        );
        pub(crate) fn qemu_plugin_tb_n_insns(block: Handle) -> usize;
        pub(crate) fn qemu_plugin_tb_get_insn(block: Handle, index: usize) -> Handle;
        pub(crate) fn qemu_plugin_insn_size(insn: Handle) -> usize;
        pub(crate) fn qemu_plugin_insn_data(insn: Handle, to: *mut u8, room: usize) -> usize;
        pub(crate) fn qemu_plugin_insn_vaddr(insn: Handle) -> u64;
        pub(crate) fn qemu_plugin_mem_is_store(info: u32) -> bool;
        pub(crate) fn qemu_plugin_mem_size_shift(info: u32) -> c_uint;
        pub(crate) fn qemu_plugin_mem_get_value(info: u32) -> Value;
        pub(crate) fn qemu_plugin_reset(id: u64, then: extern "C" fn(u64));
    }
}

#[no_mangle]
pub static qemu_plugin_version: c_int = 4;

/// The no-op of the module's tell(), behind which is a store of what it tells.
const MARK: [u8; 8] = [0x0f, 0x1f, 0x84, 0x00, 0x6d, 0x65, 0x74, 0x72];

const TELL_START: u64 = 1;
const TELL_STOP: u64 = 2;
const TELL_ON: u64 = 3;
const TELL_OFF: u64 = 4;
const TELL_STACK: u64 = 5;

const STACK_SIZE: u64 = 16384;
const LINE: u64 = 64;

/// An instruction as it was translated.
struct Known {
    at: u64,
    size: u64,
    locked: bool,
    call: bool,
    /// What runs next, where the instruction alone says so.
    next: Option<u64>,
}

#[derive(Default)]
struct Counts {
    instructions: u32,
    locked: u32,
    calls: u32,
    loads: u32,
    stores: u32,
    code: usize,
    /// Lines without the stack's, and how many of them are written.
    data: usize,
    written: usize,
    stack: usize,
    /// How often something ran between two instructions that was not seen.
    gaps: u32,
}

#[derive(Default)]
struct State {
    plugin: u64,
    out: Option<File>,
    out_at: Option<File>,
    /// Where the module stores what it tells, if a block ended before it.
    tells: HashSet<u64>,
    /// Whether what is translated is prepared to be counted.
    looking: bool,
    /// The processor of a stretch that has begun.
    running: Option<c_uint>,
    number: u32,
    last: bool,
    stack: u64,
    counts: Counts,
    /// The last instruction, and what is to run behind it.
    before: u64,
    expected: Option<u64>,
    ran: HashMap<u64, u32>,
    code_lines: HashSet<u64>,
    read_lines: HashSet<u64>,
    written_lines: HashSet<u64>,
}

static STATE: LazyLock<Mutex<State>> = LazyLock::new(Mutex::default);

fn state() -> MutexGuard<'static, State> {
    STATE.lock().expect("no callback panics")
}

impl State {
    fn start(&mut self, cpu: c_uint, value: u64) {
        self.counts = Counts::default();
        self.ran.clear();
        self.code_lines.clear();
        self.read_lines.clear();
        self.written_lines.clear();
        self.number = value as u32;
        self.last = value >> 32 & 1 != 0;
        self.expected = None;
        self.running = Some(cpu);
    }

    /// Writes the counts; returns whether something was not seen.
    fn stop(&mut self) -> bool {
        if self.running.take().is_none() {
            return false;
        }
        let mut counts = take(&mut self.counts);
        counts.code = self.code_lines.len();
        let stack = self.stack / LINE..(self.stack + STACK_SIZE) / LINE;
        for line in self.read_lines.union(&self.written_lines) {
            if stack.contains(line) {
                counts.stack += 1;
            } else {
                counts.data += 1;
                counts.written += usize::from(self.written_lines.contains(line));
            }
        }
        let Some(out) = &mut self.out else {
            return false;
        };
        let c = counts;
        writeln!(
            out,
            "{} {} {} {} {} {} {} {} {} {} {}",
            self.number,
            c.instructions,
            c.locked,
            c.calls,
            c.loads,
            c.stores,
            c.code,
            c.data,
            c.written,
            c.stack,
            c.gaps
        )
        .expect("the counts can be written");
        if let (true, Some(out)) = (self.last, &mut self.out_at) {
            for (at, count) in &self.ran {
                writeln!(out, "{} {at:x} {count}", self.number)
                    .expect("the addresses can be written");
            }
        }
        c.gaps != 0
    }
}

/// An instruction is about to run.
extern "C" fn ran(cpu: c_uint, data: *mut c_void) {
    // SAFETY: It was made in translated(), and is never freed.
    let known = unsafe { &*data.cast::<Known>() };
    let mut state = state();
    if state.running != Some(cpu) {
        return;
    }
    // An instruction that repeats itself is its own next.
    let gap = known.at != state.before && state.expected.is_some_and(|at| at != known.at);
    state.counts.gaps += u32::from(gap);
    state.before = known.at;
    state.expected = known.next;
    state.counts.instructions += 1;
    state.counts.locked += u32::from(known.locked);
    state.counts.calls += u32::from(known.call);
    state.code_lines.insert(known.at / LINE);
    state.code_lines.insert((known.at + known.size - 1) / LINE);
    *state.ran.entry(known.at).or_default() += 1;
}

/// An instruction has read or written memory.
extern "C" fn accessed(cpu: c_uint, info: u32, at: u64, _data: *mut c_void) {
    let mut state = state();
    if state.running != Some(cpu) {
        return;
    }
    // SAFETY: QEMU has just handed it out.
    let (store, shift) = unsafe {
        (
            qemu::qemu_plugin_mem_is_store(info),
            qemu::qemu_plugin_mem_size_shift(info),
        )
    };
    let lines = [at / LINE, (at + (1 << shift) - 1) / LINE];
    if store {
        state.counts.stores += 1;
        state.written_lines.extend(lines);
    } else {
        state.counts.loads += 1;
        state.read_lines.extend(lines);
    }
}

/// The module has written a mark.
extern "C" fn told(cpu: c_uint, info: u32, _at: u64, _data: *mut c_void) {
    // SAFETY: QEMU has just handed it out.
    let value = unsafe { qemu::qemu_plugin_mem_get_value(info) }.data[0];
    let mut state = state();
    match value >> 56 {
        TELL_START => state.start(cpu, value),
        TELL_STOP => {
            if state.stop() {
                let plugin = state.plugin;
                drop(state);
                // SAFETY: As below; the next stretch is seen as a whole then.
                unsafe { qemu::qemu_plugin_reset(plugin, begin) };
            }
        }
        TELL_STACK => state.stack = value | 0xff << 56,
        what @ (TELL_ON | TELL_OFF) => {
            state.looking = what == TELL_ON;
            state.tells.clear();
            let plugin = state.plugin;
            drop(state);
            // SAFETY: Everything is translated anew, once this processor comes to it.
            unsafe { qemu::qemu_plugin_reset(plugin, begin) };
        }
        _ => {}
    }
}

/// Whether an instruction is locked: has the prefix, or is an xchg with memory.
fn is_locked(bytes: &[u8]) -> bool {
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            0xf0 => return true,
            0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf2 | 0xf3 | 0x40..=0x4f => {}
            0x86 | 0x87 => return bytes.get(i + 1).is_some_and(|modrm| *modrm < 0xc0),
            _ => return false,
        }
    }
    false
}

/// Whether it is a near call, direct or through a register or memory.
fn is_call(bytes: &[u8]) -> bool {
    let prefix = |byte: &&u8| matches!(byte, 0x2e | 0x3e | 0x40..=0x4f);
    let skipped = bytes.iter().take_while(prefix).count();
    match bytes[skipped..] {
        [0xe8, ..] => true,
        [0xff, modrm, ..] => modrm >> 3 & 7 == 2,
        _ => false,
    }
}

/// What runs behind an instruction, if it is no conditional jump, no return, and goes to no place
/// that a register or memory says.
fn next(at: u64, bytes: &[u8]) -> Option<u64> {
    let behind = at + bytes.len() as u64;
    let prefix = |byte: &&u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67);
    let skipped = bytes.iter().take_while(prefix).count();
    match bytes[skipped..] {
        [0xe8 | 0xe9, a, b, c, d] => {
            Some(behind.wrapping_add_signed(i32::from_le_bytes([a, b, c, d]).into()))
        }
        [0xeb, a] => Some(behind.wrapping_add_signed((a as i8).into())),
        [0x70..=0x7f | 0xc2 | 0xc3 | 0xcc | 0xcd | 0xcf | 0xe0..=0xe3 | 0xf2 | 0xf3 | 0xff, ..] => {
            None
        }
        [0x0f, 0x80..=0x8f | 0x05 | 0x07 | 0x0b | 0x34 | 0x35, ..] => None,
        _ => Some(behind),
    }
}

/// QEMU has translated a block.
extern "C" fn translated(_id: u64, block: qemu::Handle) {
    let mut state = state();
    let mut marked = false;
    // SAFETY: The block is QEMU's, and so are its instructions, below their count. What is
    // written to has the room that is said.
    unsafe {
        for i in 0..qemu::qemu_plugin_tb_n_insns(block) {
            let insn = qemu::qemu_plugin_tb_get_insn(block, i);
            let size = qemu::qemu_plugin_insn_size(insn);
            let at = qemu::qemu_plugin_insn_vaddr(insn);
            // The kernel's alone.
            if at >> 63 == 0 {
                continue;
            }
            if take(&mut marked) || (i == 0 && state.tells.contains(&at)) {
                qemu::qemu_plugin_register_vcpu_mem_cb(
                    insn,
                    told,
                    qemu::NO_REGISTERS,
                    qemu::READS_AND_WRITES,
                    ptr::null_mut(),
                );
                continue;
            }
            if !state.looking && size != MARK.len() {
                continue;
            }
            let mut bytes = [0; 16];
            qemu::qemu_plugin_insn_data(insn, bytes.as_mut_ptr(), bytes.len());
            let bytes = &bytes[..size.min(bytes.len())];
            if bytes == MARK {
                marked = true;
                state.tells.insert(at + size as u64);
            } else if state.looking {
                let known = Box::new(Known {
                    at,
                    size: size as u64,
                    locked: is_locked(bytes),
                    call: is_call(bytes),
                    next: next(at, bytes),
                });
                qemu::qemu_plugin_register_vcpu_insn_exec_cb(
                    insn,
                    ran,
                    qemu::NO_REGISTERS,
                    Box::into_raw(known).cast(),
                );
                qemu::qemu_plugin_register_vcpu_mem_cb(
                    insn,
                    accessed,
                    qemu::NO_REGISTERS,
                    qemu::READS_AND_WRITES,
                    ptr::null_mut(),
                );
            }
        }
    }
}

extern "C" fn begin(id: u64) {
    // SAFETY: The function stays as long as the plugin.
    unsafe { qemu::qemu_plugin_register_vcpu_tb_trans_cb(id, translated) };
}

/// What QEMU calls when it has loaded the plugin.
///
/// # Safety
///
/// `argv` has `argc` strings.
#[no_mangle]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _info: *const c_void,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    let mut state = state();
    state.plugin = id;
    for i in 0..argc as usize {
        // SAFETY: There are so many.
        let argument = unsafe { CStr::from_ptr(*argv.add(i)) }.to_string_lossy();
        let file = |path: &str| Some(File::create(path).expect("the file can be written"));
        match argument.split_once('=') {
            Some(("out", path)) => state.out = file(path),
            Some(("at", path)) => state.out_at = file(path),
            _ => return 1,
        }
    }
    drop(state);
    begin(id);
    0
}
