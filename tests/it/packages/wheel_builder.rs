//! Makes wheels: sound ones in a line, and broken ones with every byte of the archive in reach.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

type Edit = Box<dyn FnOnce(String) -> String>;

/// A wheel to be. What is not said is as it should be.
pub struct Wheel {
    name: String,
    version: String,
    dist_info: String,
    files: Vec<(String, Vec<u8>)>,
    metadata: String,
    wheel: String,
    entry_points: Option<String>,
    edit_record: Option<Edit>,
    without: Vec<String>,
    is_deflated: bool,
}

impl Wheel {
    /// A wheel with nothing but its `.dist-info`.
    pub fn empty(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            dist_info: format!("{name}-{version}.dist-info"),
            files: Vec::new(),
            metadata: format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
            wheel: "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned(),
            entry_points: None,
            edit_record: None,
            without: Vec::new(),
            is_deflated: false,
        }
    }

    /// A wheel with one package, of the wheel's name.
    pub fn new(name: &str, version: &str) -> Self {
        Self::empty(name, version).file(&format!("{name}/__init__.py"), format!("version = '{version}'\n"))
    }

    /// Adds a file; a path that ends with a slash is a directory.
    pub fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.files.push((path.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// Adds a line to `METADATA`.
    pub fn metadata(mut self, line: &str) -> Self {
        self.metadata += &format!("{line}\n");
        self
    }

    /// Replaces `METADATA`.
    pub fn whole_metadata(mut self, text: &str) -> Self {
        self.metadata = text.to_owned();
        self
    }

    /// Replaces `WHEEL`.
    pub fn wheel_file(mut self, text: &str) -> Self {
        self.wheel = text.to_owned();
        self
    }

    /// Adds `entry_points.txt`.
    pub fn entry_points(mut self, text: &str) -> Self {
        self.entry_points = Some(text.to_owned());
        self
    }

    /// Gives the `.dist-info` directory another name.
    pub fn dist_info(mut self, name: &str) -> Self {
        self.dist_info = name.to_owned();
        self
    }

    /// Changes `RECORD`.
    pub fn record(mut self, edit: impl FnOnce(String) -> String + 'static) -> Self {
        self.edit_record = Some(Box::new(edit));
        self
    }

    /// Leaves out a file, which `RECORD` still lists.
    pub fn without(mut self, path: &str) -> Self {
        self.without.push(path.to_owned());
        self
    }

    /// Compresses its files.
    pub fn deflated(mut self) -> Self {
        self.is_deflated = true;
        self
    }

    /// Its file name.
    pub fn filename(&self) -> String {
        format!("{}-{}-py3-none-any.whl", self.name, self.version)
    }

    /// Its archive, to be spoilt.
    pub fn zip(self) -> Zip {
        let dist_info = self.dist_info;
        let mut files = self.files;
        files.push((format!("{dist_info}/METADATA"), self.metadata.into_bytes()));
        files.push((format!("{dist_info}/WHEEL"), self.wheel.into_bytes()));
        files.extend(self.entry_points.map(|text| (format!("{dist_info}/entry_points.txt"), text.into_bytes())));
        let line = |(path, content): &(String, Vec<u8>)| {
            let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(content));
            let path =
                if path.contains(['"', ',']) { format!("\"{}\"", path.replace('"', "\"\"")) } else { path.clone() };
            format!("{path},sha256={hash},{}\n", content.len())
        };
        let mut record: String = files.iter().filter(|(path, _)| !path.ends_with('/')).map(line).collect();
        record += &format!("{dist_info}/RECORD,,\n");
        if let Some(edit) = self.edit_record {
            record = edit(record);
        }
        files.push((format!("{dist_info}/RECORD"), record.into_bytes()));
        files.retain(|(path, _)| !self.without.contains(path));
        let members = files.iter().map(|(path, content)| Member::new(path, content, self.is_deflated)).collect();
        Zip { members, ..Zip::default() }
    }

    /// Its bytes.
    pub fn build(self) -> Vec<u8> {
        self.zip().build()
    }

    /// Writes it into a directory, under its name.
    pub fn write(self, dir: &Path) -> PathBuf {
        let path = dir.join(self.filename());
        fs::write(&path, self.build()).unwrap();
        path
    }
}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// An end record: entries, size and offset of the central directory.
pub type End = (u16, u32, u32);
/// The same of a 64-bit end record.
pub type End64 = (u64, u64, u64);

/// A zip archive to be.
#[derive(Default)]
pub struct Zip {
    /// In the order of both the archive and the central directory.
    pub members: Vec<Member>,
    /// Bytes before the first member; offsets count them.
    pub before: Vec<u8>,
    /// Bytes between the last member and the central directory.
    pub between: Vec<u8>,
    /// Bytes between the central directory and the end record.
    pub before_end: Vec<u8>,
    /// The archive's comment.
    pub comment: Vec<u8>,
    /// Bytes behind it all.
    pub after: Vec<u8>,
    /// Changes the end record.
    pub end: Option<fn(&mut End)>,
    /// Has a 64-bit end record, with a change to it.
    pub end64: Option<fn(&mut End64)>,
}

/// What both headers of a member say.
#[derive(Clone)]
pub struct Header {
    pub name: Vec<u8>,
    pub flags: u16,
    pub method: u16,
    pub crc32: u32,
    pub compressed_size: u32,
    pub size: u32,
    pub extra: Vec<u8>,
}

/// A member of an archive.
pub struct Member {
    /// Its header before its data.
    pub local: Header,
    /// Its header in the central directory.
    pub central: Header,
    pub data: Vec<u8>,
    /// Bytes behind its data: a data descriptor, or what should not be there.
    pub behind: Vec<u8>,
    /// The upper half is the Unix mode.
    pub attributes: u32,
    /// Changes where the central directory says it is.
    pub offset: Option<fn(u32) -> u32>,
}

impl Member {
    pub fn new(path: &str, content: &[u8], is_deflated: bool) -> Self {
        let is_dir = path.ends_with('/');
        let is_deflated = is_deflated && !is_dir;
        let data = if is_deflated { deflate(content) } else { content.to_vec() };
        let header = Header {
            name: path.as_bytes().to_vec(),
            flags: if path.is_ascii() { 0 } else { 1 << 11 },
            method: if is_deflated { 8 } else { 0 },
            crc32: crc32(content),
            compressed_size: data.len() as u32,
            size: content.len() as u32,
            extra: Vec::new(),
        };
        let mode: u32 = if is_dir { 0o040_755 } else { 0o100_644 };
        Self { local: header.clone(), central: header, data, behind: Vec::new(), attributes: mode << 16, offset: None }
    }

    /// Changes both headers.
    pub fn both(&mut self, change: impl Fn(&mut Header)) {
        change(&mut self.local);
        change(&mut self.central);
    }

    /// Sets its Unix mode.
    pub fn mode(&mut self, mode: u32) {
        self.attributes = mode << 16;
    }

    /// Leaves checksum and sizes to a data descriptor.
    pub fn described(&mut self, has_signature: bool, is_wide: bool) {
        self.both(|header| header.flags |= 1 << 3);
        if has_signature {
            self.behind.extend(0x0807_4b50_u32.to_le_bytes());
        }
        self.behind.extend(self.central.crc32.to_le_bytes());
        for size in [self.central.compressed_size, self.central.size] {
            if is_wide {
                self.behind.extend(u64::from(size).to_le_bytes());
            } else {
                self.behind.extend(size.to_le_bytes());
            }
        }
        (self.local.crc32, self.local.compressed_size, self.local.size) = (0, 0, 0);
    }
}

impl Zip {
    /// The member with this name.
    pub fn member(&mut self, path: &str) -> &mut Member {
        self.members.iter_mut().find(|member| member.central.name == path.as_bytes()).unwrap()
    }

    /// Changes it and goes on.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Its bytes.
    pub fn build(self) -> Vec<u8> {
        let mut bytes = self.before;
        let mut central = Vec::new();
        for member in &self.members {
            let offset = bytes.len() as u32;
            let offset = member.offset.map_or(offset, |change| change(offset));
            bytes.extend(0x0403_4b50_u32.to_le_bytes());
            common(&mut bytes, &member.local);
            bytes.extend(&member.local.name);
            bytes.extend(&member.local.extra);
            bytes.extend(&member.data);
            bytes.extend(&member.behind);
            central.extend(0x0201_4b50_u32.to_le_bytes());
            central.extend((3_u16 << 8 | 20).to_le_bytes());
            common(&mut central, &member.central);
            central.extend([0; 6]);
            central.extend(member.attributes.to_le_bytes());
            central.extend(offset.to_le_bytes());
            central.extend(&member.central.name);
            central.extend(&member.central.extra);
        }
        bytes.extend(&self.between);
        let mut end = (self.members.len() as u16, central.len() as u32, bytes.len() as u32);
        let mut end64 = (u64::from(end.0), u64::from(end.1), u64::from(end.2));
        bytes.extend(central);
        bytes.extend(&self.before_end);
        if let Some(change) = self.end64 {
            change(&mut end64);
            let at = bytes.len() as u64;
            bytes.extend(0x0606_4b50_u32.to_le_bytes());
            bytes.extend(44_u64.to_le_bytes());
            bytes.extend([45, 3, 45, 0]);
            bytes.extend([0; 8]);
            for value in [end64.0, end64.0, end64.1, end64.2] {
                bytes.extend(value.to_le_bytes());
            }
            bytes.extend(0x0706_4b50_u32.to_le_bytes());
            bytes.extend([0; 4]);
            bytes.extend(at.to_le_bytes());
            bytes.extend(1_u32.to_le_bytes());
            end = (u16::MAX, u32::MAX, u32::MAX);
        }
        if let Some(change) = self.end {
            change(&mut end);
        }
        bytes.extend(0x0605_4b50_u32.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(end.0.to_le_bytes());
        bytes.extend(end.0.to_le_bytes());
        bytes.extend(end.1.to_le_bytes());
        bytes.extend(end.2.to_le_bytes());
        bytes.extend((self.comment.len() as u16).to_le_bytes());
        bytes.extend(&self.comment);
        bytes.extend(&self.after);
        bytes
    }
}

/// From the version that is needed up to the lengths of name and extra field.
fn common(bytes: &mut Vec<u8>, header: &Header) {
    bytes.extend(20_u16.to_le_bytes());
    bytes.extend(header.flags.to_le_bytes());
    bytes.extend(header.method.to_le_bytes());
    bytes.extend([0, 0, 0x21, 0]);
    bytes.extend(header.crc32.to_le_bytes());
    bytes.extend(header.compressed_size.to_le_bytes());
    bytes.extend(header.size.to_le_bytes());
    bytes.extend((header.name.len() as u16).to_le_bytes());
    bytes.extend((header.extra.len() as u16).to_le_bytes());
}

/// An extra field.
pub fn extra(id: u16, data: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes()[..], &(data.len() as u16).to_le_bytes(), data].concat()
}

/// The bytes, compressed.
pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    writer.start_file("f", options).unwrap();
    writer.write_all(bytes).unwrap();
    let mut archive = zip::ZipArchive::new(writer.finish().unwrap()).unwrap();
    let mut raw = Vec::new();
    archive.by_index_raw(0).unwrap().read_to_end(&mut raw).unwrap();
    raw
}

/// The checksum of zip archives.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut table = [0_u32; 256];
    for (byte, entry) in (0..).zip(&mut table) {
        *entry = (0..8).fold(byte, |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 });
    }
    !bytes.iter().fold(u32::MAX, |crc, byte| table[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}
