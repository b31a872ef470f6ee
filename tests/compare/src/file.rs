// SPDX-License-Identifier: GPL-2.0

//! Reading and writing the program's own files, numbers in the machine's byte order.
//!
//! Such a file begins with eight bytes that say what it is and in which version, the number of
//! packets and the number of batches in it. Those numbers are written last, so that the file of a
//! run that did not end says zero.

use anyhow::{
    bail,
    Context,
    Result, //
};
use std::{
    fs::File,
    io::{
        BufReader,
        BufWriter,
        Read,
        Seek,
        SeekFrom,
        Write, //
    },
    path::{
        Path,
        PathBuf, //
    },
};
use zerocopy::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

/// What a file begins with: what it is, and in which version.
pub type Magic = [u8; 8];

/// How large the buffers are.
const BUFFER: usize = 256 << 10;

/// A file that is read.
pub struct Source {
    path: PathBuf,
    reader: BufReader<File>,
    offset: u64,
    /// How many packets the file holds.
    pub packets: u64,
    /// How many batches the file holds.
    pub batches: u64,
}

impl Source {
    /// Opens a file that begins with `magic`; `what` says what that is.
    pub fn open(path: &Path, magic: Magic, what: &str) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("{}: cannot open", path.display()))?;
        let mut source = Self {
            path: path.to_owned(),
            reader: BufReader::with_capacity(BUFFER, file),
            offset: 0,
            packets: 0,
            batches: 0,
        };
        if source.read::<Magic>("what the file is")? != magic {
            bail!("{}: not a {what} of this version", path.display());
        }
        source.packets = source.read("the number of packets")?;
        source.batches = source.read("the number of batches")?;
        if source.batches == 0 {
            bail!("{}: not complete, its writer did not end", path.display());
        }
        Ok(source)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a value; `what` says which.
    pub fn read<T: FromBytes + IntoBytes>(&mut self, what: &str) -> Result<T> {
        let mut value = T::new_zeroed();
        self.fill(value.as_mut_bytes(), what)?;
        Ok(value)
    }

    /// Reads a number that is at most `most`; `what` says which.
    pub fn count(&mut self, what: &str, most: u32) -> Result<usize> {
        let at = self.offset;
        let count: u32 = self.read(what)?;
        if count > most {
            let path = self.path.display();
            bail!("{path}: offset {at}: {what} is {count}, more than {most}");
        }
        Ok(count as usize)
    }

    /// Reads so many bytes; `what` says which.
    pub fn bytes(&mut self, len: usize, what: &str) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    /// Reads a text with its length before it; `what` says which.
    pub fn text(&mut self, what: &str, most: u32) -> Result<String> {
        let len = self.count(what, most)?;
        let at = self.offset;
        String::from_utf8(self.bytes(len, what)?)
            .with_context(|| format!("{}: offset {at}: {what} is no text", self.path.display()))
    }

    /// Checks that nothing follows.
    pub fn end(&mut self) -> Result<()> {
        let mut byte = [0];
        match self.reader.read(&mut byte) {
            Ok(0) => Ok(()),
            _ => bail!(
                "{}: offset {}: something follows the last batch",
                self.path.display(),
                self.offset
            ),
        }
    }

    fn fill(&mut self, bytes: &mut [u8], what: &str) -> Result<()> {
        self.reader.read_exact(bytes).with_context(|| {
            let path = self.path.display();
            format!("{path}: offset {}: cannot read {what}", self.offset)
        })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

/// A file that is written.
pub struct Sink {
    path: PathBuf,
    writer: BufWriter<File>,
    /// How many packets were written.
    pub packets: u64,
    /// How many batches were written.
    pub batches: u64,
}

impl Sink {
    /// Creates a file that begins with `magic`.
    pub fn create(path: &Path, magic: Magic) -> Result<Self> {
        let file =
            File::create(path).with_context(|| format!("{}: cannot create", path.display()))?;
        let mut sink = Self {
            path: path.to_owned(),
            writer: BufWriter::with_capacity(BUFFER, file),
            packets: 0,
            batches: 0,
        };
        sink.write(&magic)?;
        sink.write(&[0u64; 2])?;
        Ok(sink)
    }

    /// Writes a value.
    pub fn write<T: IntoBytes + Immutable + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.writer
            .write_all(value.as_bytes())
            .with_context(|| format!("{}: cannot write", self.path.display()))
    }

    /// Writes a number.
    pub fn count(&mut self, count: usize) -> Result<()> {
        let count = u32::try_from(count)
            .with_context(|| format!("{}: {count} is too many", self.path.display()))?;
        self.write(&count)
    }

    /// Writes a text with its length before it.
    pub fn text(&mut self, text: &str) -> Result<()> {
        self.bytes(text.as_bytes())
    }

    /// Writes bytes with their number before them.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.count(bytes.len())?;
        self.write(bytes)
    }

    /// Writes what is left, and the numbers that the file begins with.
    pub fn finish(mut self) -> Result<()> {
        let numbers = [self.packets, self.batches];
        self.writer
            .seek(SeekFrom::Start(size_of::<Magic>() as u64))
            .with_context(|| format!("{}: cannot go back", self.path.display()))?;
        self.write(&numbers)?;
        self.writer
            .flush()
            .with_context(|| format!("{}: cannot write", self.path.display()))
    }
}
