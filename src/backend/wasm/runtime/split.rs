//! Rewrites a module so that its initial memory is a file instead of data segments.
//!
//! A linear memory that starts as a private mapping of a file costs nothing to make, and any other file of the same
//! layout (a booted interpreter, one with packages imported) can take the place of the first. So the bytes of the
//! active data segments move to an image file, and the mutable globals, the only other state that the module's own
//! start-up sets, become exports that can be read and set. Code, tables and indices stay as they are: one compiled
//! artifact serves every image.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{DataSection, Encode, ExportKind, ExportSection, SectionId};
use wasmparser::{ConstExpr, Data, DataKind, FunctionBody, Operator, Parser, Payload, TypeRef, ValType};

use super::code::check_code;
use super::image::ImageWriter;

/// Counts the changes of this rewriting: part of a cached runtime's key.
pub const SPLIT_VERSION: u32 = 1;

/// Bytes of a WebAssembly page, and the unit of the image's length.
pub const WASM_PAGE_BYTES: u64 = 64 << 10;

/// What the exported globals' names start with; their index follows.
pub const GLOBAL_PREFIX: &str = "__global_";

/// A rewritten module, and what a host must know to start it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The module without its initial memory.
    pub module: Vec<u8>,
    /// The facts about it.
    pub info: SplitInfo,
    /// The names it exports (the new ones included) and imports.
    pub interface: ModuleInterface,
}

/// The facts about a rewritten module that its receipt keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitInfo {
    /// The mutable globals, all exported, in index order.
    pub globals: Vec<GlobalInit>,
    /// The memory's size at the start, in 64 KiB pages.
    pub minimum_pages: u64,
    /// The size the memory may grow to, in 64 KiB pages, if the module bounds it.
    pub maximum_pages: Option<u64>,
    /// Length of the image in bytes: a multiple of 64 KiB, at most `minimum_pages` of them.
    pub image_bytes: u64,
    /// Number of functions that the module defines.
    pub functions: u32,
    /// Length of the code section in bytes: what compiling takes is in proportion.
    pub code_bytes: u64,
}

/// What a module exports and imports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModuleInterface {
    /// Names of the exports.
    pub exports: BTreeSet<String>,
    /// Module and name of each import.
    pub imports: Vec<(String, String)>,
}

/// A mutable global and the value it starts with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalInit {
    /// The name it is exported under: `__global_<index>`.
    pub name: String,
    /// Its place among the module's globals, imported ones included.
    pub index: u32,
    /// Type and first value.
    pub value: GlobalValue,
}

/// A number in a global. Floats are kept as their bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ty", content = "value", rename_all = "snake_case")]
pub enum GlobalValue {
    /// A 32-bit integer.
    I32(i32),
    /// A 64-bit integer.
    I64(i64),
    /// The bits of a 32-bit float.
    F32(u32),
    /// The bits of a 64-bit float.
    F64(u64),
}

impl From<GlobalValue> for wasmtime::Val {
    fn from(value: GlobalValue) -> Self {
        match value {
            GlobalValue::I32(value) => Self::I32(value),
            GlobalValue::I64(value) => Self::I64(value),
            GlobalValue::F32(bits) => Self::F32(bits),
            GlobalValue::F64(bits) => Self::F64(bits),
        }
    }
}

/// Why a module cannot be split.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Not a well-formed core module.
    #[error("the module is malformed: {source}")]
    Malformed {
        /// The parser's or encoder's words.
        #[from]
        source: wasmparser::BinaryReaderError,
    },
    /// The module is well-formed, but uses what an image cannot express.
    #[error("the module cannot be split: {what}")]
    Unsupported {
        /// What stands in the way.
        what: String,
    },
    /// A segment lies outside the memory the module starts with.
    #[error("data segment {segment} ends at byte {end}, past the memory's {memory_bytes}")]
    SegmentOutOfBounds {
        /// Index of the segment.
        segment: u32,
        /// One past its last byte.
        end: u64,
        /// The memory's initial size.
        memory_bytes: u64,
    },
    /// The image cannot be written.
    #[error("the image cannot be written: {source}")]
    Image {
        /// The system's words.
        #[from]
        source: std::io::Error,
    },
}

pub(super) fn unsupported(what: impl Into<String>) -> SplitError {
    SplitError::Unsupported { what: what.into() }
}

/// Splits `module` (a core module in binary form): its initial memory goes to `image`, an empty file, with holes where
/// it is zero; the rest is returned.
///
/// An active segment becomes an empty passive one. That is what it is for the code too: instantiation drops an active
/// segment, so a `memory.init` of it sees no bytes before and after the change, and a `data.drop` does nothing.
///
/// Tables and dropped segments are instance state too, but no image holds them: code that changes them is refused.
///
/// # Errors
/// The module is malformed, has a start function, has not exactly one memory of its own (32-bit, unshared), places a segment at an offset
/// that is not a constant or outside the initial memory, or has a mutable global that is imported or no plain number.
pub fn split(module: &[u8], image: &File) -> Result<Split, SplitError> {
    let mut splitter = Splitter::new(module, image);
    for payload in Parser::new(0).parse_all(module) {
        splitter.payload(payload?)?;
    }
    splitter.finish()
}

struct Splitter<'a> {
    input: &'a [u8],
    image: ImageWriter<'a>,
    bodies: Vec<FunctionBody<'a>>,
    output: Vec<u8>,
    exports_written: bool,
    imported_globals: u32,
    memory: Option<(u64, Option<u64>)>,
    globals: Vec<GlobalInit>,
    interface: ModuleInterface,
    functions: u32,
    code_bytes: u64,
}

impl<'a> Splitter<'a> {
    fn new(input: &'a [u8], image: &'a File) -> Self {
        Self {
            input,
            image: ImageWriter::new(image),
            bodies: Vec::new(),
            output: Vec::with_capacity(input.len()),
            exports_written: false,
            imported_globals: 0,
            memory: None,
            globals: Vec::new(),
            interface: ModuleInterface::default(),
            functions: 0,
            code_bytes: 0,
        }
    }

    fn payload(&mut self, payload: Payload<'a>) -> Result<(), SplitError> {
        let section = payload.as_section();
        match payload {
            Payload::Version { encoding: wasmparser::Encoding::Module, range, .. } => {
                self.output.extend_from_slice(self.bytes(range)?);
                return Ok(());
            }
            Payload::Version { .. } => return Err(unsupported("it is a component, not a core module")),
            Payload::ExportSection(reader) => return self.write_exports(Some(reader)),
            Payload::DataSection(reader) => {
                self.write_exports(None)?;
                return self.write_data(reader);
            }
            Payload::ImportSection(reader) => self.read_imports(reader)?,
            Payload::MemorySection(reader) => self.read_memories(reader)?,
            Payload::GlobalSection(reader) => self.read_globals(reader)?,
            Payload::FunctionSection(reader) => self.functions = reader.count(),
            Payload::CodeSectionStart { size, .. } => self.code_bytes = u64::from(size),
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            Payload::StartSection { .. } => {
                return Err(unsupported("it has a start function, which would run again over every image"));
            }
            _ => {}
        }
        if let Some((id, range)) = section {
            if follows_exports(id) {
                self.write_exports(None)?;
            }
            let bytes = self.bytes(range)?;
            self.write_section(id, bytes);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Split, SplitError> {
        self.write_exports(None)?;
        check_code(&self.bodies)?;
        let (minimum_pages, maximum_pages) = self.memory.ok_or_else(|| unsupported("it has no memory"))?;
        let info = SplitInfo {
            globals: self.globals,
            minimum_pages,
            maximum_pages,
            image_bytes: self.image.finish()?,
            functions: self.functions,
            code_bytes: self.code_bytes,
        };
        Ok(Split { module: self.output, info, interface: self.interface })
    }

    fn bytes(&self, range: Range<usize>) -> Result<&'a [u8], SplitError> {
        self.input.get(range).ok_or_else(|| unsupported("a section lies outside the file"))
    }

    fn write_section(&mut self, id: u8, bytes: &[u8]) {
        self.output.push(id);
        bytes.encode(&mut self.output);
    }

    fn read_imports(&mut self, reader: wasmparser::ImportSectionReader<'a>) -> Result<(), SplitError> {
        for import in reader.into_imports() {
            let import = import?;
            self.interface.imports.push((import.module.to_owned(), import.name.to_owned()));
            match import.ty {
                TypeRef::Memory(_) => return Err(unsupported("its memory is imported")),
                TypeRef::Global(global) if global.mutable => {
                    return Err(unsupported(format!("the mutable global `{}` is imported", import.name)));
                }
                // The parser bounds the number of imports, so that this sum stays far from overflow.
                TypeRef::Global(_) => self.imported_globals += 1,
                TypeRef::Table(_) => return Err(unsupported("its table is imported")),
                TypeRef::Func(_) | TypeRef::FuncExact(_) | TypeRef::Tag(_) => {}
            }
        }
        Ok(())
    }

    fn read_memories(&mut self, reader: wasmparser::MemorySectionReader<'a>) -> Result<(), SplitError> {
        for memory in reader {
            let memory = memory?;
            if self.memory.is_some() {
                return Err(unsupported("it has more than one memory"));
            }
            if memory.memory64 || memory.shared || memory.page_size_log2.is_some() {
                return Err(unsupported("its memory is 64-bit, shared or of an odd page size"));
            }
            self.memory = Some((memory.initial, memory.maximum));
        }
        Ok(())
    }

    fn read_globals(&mut self, reader: wasmparser::GlobalSectionReader<'a>) -> Result<(), SplitError> {
        for (index, global) in (self.imported_globals..).zip(reader) {
            let global = global?;
            if !global.ty.mutable {
                continue;
            }
            let value = global_value(global.ty.content_type, &global.init_expr)?
                .ok_or_else(|| unsupported(format!("mutable global {index} does not start as a plain number")))?;
            self.globals.push(GlobalInit { name: format!("{GLOBAL_PREFIX}{index}"), index, value });
        }
        Ok(())
    }

    /// Writes the export section: what was there and the mutable globals. Done once, at the section's place.
    fn write_exports(&mut self, reader: Option<wasmparser::ExportSectionReader<'a>>) -> Result<(), SplitError> {
        if self.exports_written {
            return Ok(());
        }
        self.exports_written = true;
        let mut section = ExportSection::new();
        for export in reader.into_iter().flatten() {
            let export = export?;
            RoundtripReencoder
                .parse_export(&mut section, export)
                .map_err(|error| unsupported(format!("export `{}`: {error}", export.name)))?;
            self.interface.exports.insert(export.name.to_owned());
        }
        for global in &self.globals {
            if !self.interface.exports.insert(global.name.clone()) {
                return Err(unsupported(format!("it already exports `{}`", global.name)));
            }
            section.export(&global.name, ExportKind::Global, global.index);
        }
        if !section.is_empty() {
            self.output.push(SectionId::Export.into());
            section.encode(&mut self.output);
        }
        Ok(())
    }

    fn write_data(&mut self, reader: wasmparser::DataSectionReader<'a>) -> Result<(), SplitError> {
        let memory_bytes = self.memory.map_or(0, |(minimum, _)| minimum.saturating_mul(WASM_PAGE_BYTES));
        let mut section = DataSection::new();
        for (segment, data) in (0..).zip(reader) {
            let Data { kind, data, .. } = data?;
            let kept = match kind {
                DataKind::Passive => data,
                DataKind::Active { memory_index: 0, offset_expr } => {
                    let offset = constant_offset(&offset_expr)?
                        .ok_or_else(|| unsupported(format!("data segment {segment} is not at a constant offset")))?;
                    let end = u64::from(offset).saturating_add(data.len() as u64);
                    if end > memory_bytes {
                        return Err(SplitError::SegmentOutOfBounds { segment, end, memory_bytes });
                    }
                    self.image.write(u64::from(offset), data)?;
                    &[]
                }
                DataKind::Active { memory_index, .. } => {
                    return Err(unsupported(format!("data segment {segment} is for memory {memory_index}")));
                }
            };
            section.passive(kept.iter().copied());
        }
        self.output.push(SectionId::Data.into());
        section.encode(&mut self.output);
        Ok(())
    }
}

/// Whether a section of this kind stands after the export section.
fn follows_exports(id: u8) -> bool {
    [SectionId::Start, SectionId::Element, SectionId::DataCount, SectionId::Code, SectionId::Data]
        .into_iter()
        .any(|section| u8::from(section) == id)
}

/// The number that `init` pushes; `None` where it is not a single constant.
fn global_value(ty: ValType, init: &ConstExpr<'_>) -> Result<Option<GlobalValue>, SplitError> {
    Ok(single_operator(init)?.and_then(|operator| match (ty, operator) {
        (ValType::I32, Operator::I32Const { value }) => Some(GlobalValue::I32(value)),
        (ValType::I64, Operator::I64Const { value }) => Some(GlobalValue::I64(value)),
        (ValType::F32, Operator::F32Const { value }) => Some(GlobalValue::F32(value.bits())),
        (ValType::F64, Operator::F64Const { value }) => Some(GlobalValue::F64(value.bits())),
        _ => None,
    }))
}

/// The address that `offset` pushes; `None` where it is not a single constant.
fn constant_offset(offset: &ConstExpr<'_>) -> Result<Option<u32>, SplitError> {
    Ok(single_operator(offset)?.and_then(|operator| match operator {
        Operator::I32Const { value } => Some(value.cast_unsigned()),
        _ => None,
    }))
}

fn single_operator<'a>(expr: &ConstExpr<'a>) -> Result<Option<Operator<'a>>, SplitError> {
    let mut reader = expr.get_operators_reader();
    let first = reader.read()?;
    Ok(matches!(reader.read()?, Operator::End).then_some(first))
}
