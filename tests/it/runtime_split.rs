//! Splitting a module's memory from its code.

use std::fs;
use std::os::unix::fs::MetadataExt;

use pymd::backend::wasm::runtime::split::{GlobalInit, GlobalValue, Split, SplitError, split};
use tempfile::NamedTempFile;
use wasmtime::{Engine, Instance, Module, Store, Val};

const PAGE: usize = 64 << 10;

fn split_wat(text: &str) -> Result<(Split, Vec<u8>), SplitError> {
    let file = NamedTempFile::new().unwrap();
    let result = split(&wat::parse_str(text).unwrap(), file.as_file())?;
    let image = fs::read(file.path()).unwrap();
    assert_eq!(image.len() as u64, result.info.image_bytes);
    Ok((result, image))
}

/// An instance of `module`, with `image` at the start of its memory.
fn start(module: &[u8], image: &[u8]) -> (Store<()>, Instance) {
    let engine = Engine::default();
    let module = Module::new(&engine, module).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    if let Some(memory) = instance.get_memory(&mut store, "m") {
        memory.write(&mut store, 0, image).unwrap();
    }
    (store, instance)
}

fn memory((store, instance): &mut (Store<()>, Instance)) -> Vec<u8> {
    let memory = instance.get_memory(&mut *store, "m").unwrap();
    memory.data(&*store).to_vec()
}

fn call((store, instance): &mut (Store<()>, Instance), name: &str) -> Result<i32, String> {
    let function = instance.get_typed_func::<(), i32>(&mut *store, name).unwrap();
    function.call(&mut *store, ()).map_err(|error| format!("{:?}", error.downcast_ref::<wasmtime::Trap>()))
}

#[test]
fn the_halves_are_worth_the_whole() {
    let text = r#"(module
        (memory (export "m") 3 7)
        (global $stack (mut i32) (i32.const 4096))
        (global i32 (i32.const 5))
        (global (mut f64) (f64.const -1.5))
        (global (mut i64) (i64.const -9))
        (global (mut f32) (f32.const 2))
        (table 2 funcref) (elem (i32.const 0) $peek $peek)
        (func $peek (export "peek") (result i32) (i32.load8_u (i32.const 70000)))
        (func (export "passive") (result i32)
            (memory.init $kept (i32.const 9) (i32.const 1) (i32.const 2)) (i32.load8_u (i32.const 10)))
        (func (export "none") (result i32) (memory.init $first (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 1))
        (func (export "gone") (result i32) (memory.init $first (i32.const 0) (i32.const 0) (i32.const 1)) (i32.const 1))
        (func (export "indirect") (result i32) (call_indirect (result i32) (i32.const 1)))
        (data $first (i32.const 100) "aaaaaaaa")
        (data $kept "xyz")
        (data (i32.const 102) "\00\00b")
        (data (i32.const 70000) "far")
        (data (i32.const 131072) ""))"#;
    let (halves, image) = split_wat(text).unwrap();
    assert_eq!(image.len(), 2 * PAGE);
    assert_eq!(&image[99..110], b"\0aa\0\0baaa\0\0");
    assert_eq!((halves.info.minimum_pages, halves.info.maximum_pages, halves.info.functions), (3, Some(7), 5));
    let global = |index, value| GlobalInit { name: format!("__global_{index}"), index, value };
    let expected = [
        global(0, GlobalValue::I32(4096)),
        global(2, GlobalValue::F64((-1.5_f64).to_bits())),
        global(3, GlobalValue::I64(-9)),
        global(4, GlobalValue::F32(2_f32.to_bits())),
    ];
    assert_eq!(halves.info.globals, expected);

    let mut whole = start(&wat::parse_str(text).unwrap(), &[]);
    let mut joined = start(&halves.module, &image);
    assert_eq!(memory(&mut whole), memory(&mut joined));
    for name in ["peek", "passive", "none", "gone", "indirect"] {
        assert_eq!(call(&mut whole, name), call(&mut joined, name), "{name}");
    }
    assert!(call(&mut joined, "gone").is_err());
    assert_eq!(memory(&mut whole), memory(&mut joined));
    let (store, instance) = &mut joined;
    for GlobalInit { name, value, .. } in &halves.info.globals {
        let exported = instance.get_global(&mut *store, name).unwrap();
        assert_eq!(format!("{:?}", exported.get(&mut *store)), format!("{:?}", Val::from(*value)));
        exported.set(&mut *store, Val::from(*value)).unwrap();
    }
    assert!(halves.interface.exports.contains("peek") && halves.interface.exports.contains("__global_4"));
}

#[test]
fn what_the_code_is_made_of_stays_to_the_byte() {
    let text = r#"(module (import "e" "i" (global i32)) (import "e" "f" (func (param i32)))
        (memory 1) (global $g (mut i32) (i32.const 1))
        (func $f (drop (i32.add (global.get $g) (i32.const 77)))) (data (i32.const 0) "x"))"#;
    let (halves, _) = split_wat(text).unwrap();
    let sections = |bytes: &[u8]| -> Vec<(u8, Vec<u8>)> {
        wasmparser::Parser::new(0)
            .parse_all(bytes)
            .filter_map(|payload| payload.unwrap().as_section())
            .map(|(id, range)| (id, bytes[range].to_vec()))
            .collect()
    };
    let mut after = sections(&halves.module);
    let exports = after.iter().position(|(id, _)| *id == 7).unwrap();
    assert_eq!(after.remove(exports).1, b"\x01\x0a__global_1\x03\x01");
    let data = after.iter().position(|(id, _)| *id == 11).unwrap();
    assert_eq!(after[data].1, b"\x01\x01\x00");
    let mut before = sections(&wat::parse_str(text).unwrap());
    before[data].1 = b"\x01\x01\x00".to_vec();
    assert_eq!(before, after);
    let imports = [("e", "i"), ("e", "f")].map(|(module, name)| (module.to_owned(), name.to_owned()));
    assert_eq!(halves.interface.imports, imports);
}

#[test]
fn zeros_are_holes() {
    let mut text = String::from(r#"(module (memory 256) (data (i32.const 5) ""#);
    text.push_str(&"\\00".repeat(9_000_000));
    text.push_str(r#"\01") (data (i32.const 16777215) "!"))"#);
    let file = NamedTempFile::new().unwrap();
    let halves = split(&wat::parse_str(text).unwrap(), file.as_file()).unwrap();
    let metadata = file.as_file().metadata().unwrap();
    assert_eq!((metadata.len(), halves.info.image_bytes), (16 << 20, 16 << 20));
    assert!(metadata.blocks() * 512 <= 64 << 10, "{} blocks", metadata.blocks());
    let image = fs::read(file.path()).unwrap();
    let set: Vec<usize> = (0..image.len()).filter(|at| image[*at] != 0).collect();
    assert_eq!(set, [9_000_005, 16_777_215]);
}

#[test]
fn an_empty_memory_has_an_empty_image() {
    let (halves, image) = split_wat("(module (memory 0))").unwrap();
    assert_eq!((image.len(), halves.info.minimum_pages, halves.info.maximum_pages), (0, 0, None));
    Module::new(&Engine::default(), &halves.module).unwrap();
}

#[test]
fn what_no_image_can_hold_is_refused() {
    for (text, reason) in [
        ("(module)", "no memory"),
        ("(module (memory 1) (memory 1))", "more than one memory"),
        (r#"(module (import "a" "b" (memory 1)))"#, "memory is imported"),
        (r#"(module (import "a" "b" (table 1 funcref)) (memory 1))"#, "table is imported"),
        (r#"(module (import "a" "b" (global (mut i32))) (memory 1))"#, "mutable global `b`"),
        ("(module (memory i64 1))", "64-bit"),
        ("(module (memory 1 1 shared))", "shared"),
        ("(module (memory 1) (func $f) (start $f))", "start function"),
        ("(module (memory 1) (global (mut funcref) (ref.null func)))", "mutable global 0"),
        ("(module (memory 1) (global (mut i32) (i32.add (i32.const 1) (i32.const 2))))", "mutable global 0"),
        (r#"(module (import "a" "b" (global i32)) (memory 1) (data (global.get 0) "x"))"#, "constant offset"),
        (r#"(module (memory 1) (data (i32.const 65535) "xx"))"#, "ends at byte 65537"),
        (r#"(module (memory 1) (data (i32.const -1) "xx"))"#, "ends at byte 4294967297"),
        (r#"(module (memory 1) (data $d "x") (func (data.drop $d)))"#, "data.drop"),
        ("(module (memory 1) (table 1 funcref) (func (table.set (i32.const 0) (ref.null func))))", "table.set"),
        (
            r#"(module (memory 1) (global (mut i32) (i32.const 0)) (func) (export "__global_0" (func 0)))"#,
            "already exports `__global_0`",
        ),
        ("(component)", "component"),
    ] {
        let error = split_wat(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn damaged_modules_are_refused_and_never_panic() {
    let text = r#"(module (memory (export "m") 1) (global (mut i32) (i32.const 7))
        (func (export "f") (result i32) (i32.const 1)) (data (i32.const 8) "hello") (data "p"))"#;
    let whole = wat::parse_str(text).unwrap();
    let image = || tempfile::tempfile().unwrap();
    for length in 0..whole.len() {
        // Cut between two sections, a module is well-formed but may lack its memory or code.
        if let Ok(halves) = split(&whole[..length], &image()) {
            assert!(halves.module.len() <= whole.len() + 32);
        }
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut broken = whole.clone();
            broken[at] ^= 1 << bit;
            let _ = split(&broken, &image());
        }
    }
}
