//! Slots and images, below any interpreter: contents, tracking, odd sizes, many threads, drops in odd orders.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use pymd::backend::wasm::engine;
use pymd::backend::wasm::memory::{Image, PAGE_BYTES, PageMap, Slot, collect, with_slot};
use wasmtime::{Instance, Module, Store};

/// An image of `pages` pages of which every third holds its own number.
fn image(pages: usize) -> Arc<Image> {
    let image = Image::build(pages * PAGE_BYTES, Vec::new(), |file| {
        for page in (0..pages).step_by(3) {
            file.write_all_at(&vec![(page % 250) as u8 + 1; PAGE_BYTES], (page * PAGE_BYTES) as u64)?;
        }
        Ok(())
    });
    Arc::new(image.unwrap())
}

fn bytes(slot: &mut Arc<Slot>) -> &mut [u8] {
    Arc::get_mut(slot).unwrap().bytes_mut()
}

fn write(slot: &mut Arc<Slot>, page: usize, value: u8) {
    bytes(slot)[page * PAGE_BYTES + 17] = value;
}

/// As `assert_eq`, which would print megabytes.
#[track_caller]
fn assert_same(one: &[u8], other: &[u8]) {
    assert_eq!(one.len(), other.len());
    assert_eq!(one.iter().zip(other).position(|(one, other)| one != other), None, "the first difference");
}

fn changed(slot: &Slot) -> Vec<usize> {
    slot.scan().unwrap().into_iter().flatten().collect()
}

#[test]
fn a_fresh_slot_is_its_image_and_writes_stay_private() {
    let image = image(48);
    let (mut one, mut two) = (Arc::new(Slot::new(image.clone()).unwrap()), Arc::new(Slot::new(image.clone()).unwrap()));
    assert_same(bytes(&mut one), image.bytes());
    write(&mut one, 5, 99);
    assert_same(bytes(&mut two), image.bytes());
    assert_eq!(image.page(5)[17], 0, "nor does the image");
    assert_eq!(changed(&one), [5]);
    assert_eq!(changed(&two), Vec::<usize>::new());
}

#[test]
fn reading_is_not_writing() {
    let mut slot = Arc::new(Slot::new(image(64)).unwrap());
    let sum: u64 = bytes(&mut slot).iter().map(|byte| u64::from(*byte)).sum();
    assert!(sum > 0);
    assert_eq!(changed(&slot), Vec::<usize>::new());
}

#[test]
fn a_tracked_slot_tells_only_what_was_written_since_the_last_scan() {
    let mut slot = Arc::new(Slot::new(image(64)).unwrap());
    write(&mut slot, 1, 1);
    write(&mut slot, 40, 1);
    let before: Vec<usize> = slot.scan_and_track().unwrap().into_iter().flatten().collect();
    assert_eq!(before, [1, 40], "what was written before tracking began");
    let after_scan = changed(&slot);
    // Where the system can't track, every private page is told each time: a superset.
    assert!(after_scan.is_empty() || after_scan == [1, 40]);
    let tracks = after_scan.is_empty();
    write(&mut slot, 40, 2);
    write(&mut slot, 41, 2);
    let now = changed(&slot);
    assert_eq!(now, if tracks { vec![40, 41] } else { vec![1, 40, 41] });
}

#[test]
fn collect_keeps_what_differs_and_restore_brings_it_back() {
    let image = image(64);
    let mut slot = Arc::new(Slot::new(image.clone()).unwrap());
    slot.scan_and_track().unwrap();
    write(&mut slot, 2, 7);
    write(&mut slot, 9, 7);
    write(&mut slot, 9, image.page(9)[17]); // written, but the same as before
    let scanned = slot.scan().unwrap();
    let mut first = PageMap::default();
    assert_eq!(collect(&mut first, &image, bytes(&mut slot), scanned), 1);
    assert_eq!(first.len(), 1);
    let state = bytes(&mut slot).to_vec();

    // A cell that is rolled back.
    write(&mut slot, 2, 8);
    write(&mut slot, 30, 8);
    Arc::get_mut(&mut slot).unwrap().restore(&first, image.byte_len(), false).unwrap();
    assert_same(bytes(&mut slot), &state);

    // A later checkpoint shares and replaces; the first stays what it was.
    write(&mut slot, 2, 9);
    write(&mut slot, 31, 9);
    let scanned = slot.scan().unwrap();
    let mut second = first.clone();
    collect(&mut second, &image, bytes(&mut slot), scanned);
    assert_eq!((first.len(), second.len()), (1, 2));
    assert_eq!(first.get(2).unwrap()[17], 7);
    assert_eq!(second.get(2).unwrap()[17], 9);

    // Into another slot, and into one that ran something else.
    let mut other = Arc::new(Slot::new(image.clone()).unwrap());
    write(&mut other, 60, 1);
    Arc::get_mut(&mut other).unwrap().restore(&first, image.byte_len(), true).unwrap();
    assert_same(bytes(&mut other), &state);

    // As an image of its own.
    let flat = Image::flatten(&image, &second, image.byte_len(), Vec::new()).unwrap();
    assert_same(flat.bytes(), bytes(&mut slot));
}

#[test]
fn a_recycled_slot_is_its_image_again_whatever_ran_in_it() {
    let image = image(50);
    let mut slot = Arc::new(Slot::new(image.clone()).unwrap());
    for (round, tracked) in [(1_u8, false), (2, true), (3, true)] {
        if tracked {
            slot.scan_and_track().unwrap();
        }
        bytes(&mut slot).fill(round);
        let _ = slot.scan().unwrap();
        Arc::get_mut(&mut slot).unwrap().restore(&PageMap::default(), image.byte_len(), true).unwrap();
        assert_same(bytes(&mut slot), image.bytes());
    }
}

/// A module whose memory grows, over a slot: what grew is zero, gone after a restore, and zero again.
#[test]
fn growth_is_zero_and_is_taken_back() {
    let image = image(16); // one WebAssembly page
    let engine = engine().unwrap();
    let wat = r#"(module (memory (export "memory") 1 100)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;
    let module = Module::new(&engine, wat::parse_str(wat).unwrap()).unwrap();
    let mut slot = Arc::new(Slot::new(image.clone()).unwrap());
    for _ in 0..3 {
        let mut store = Store::new(&engine, ());
        store.set_fuel(1_000_000).unwrap();
        let instance = with_slot(&slot, 65_536, || Instance::new(&mut store, &module, &[])).unwrap();
        let grow = instance.get_typed_func::<u32, u32>(&mut store, "grow").unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        futures::executor::block_on(async {
            assert_eq!(grow.call_async(&mut store, 7).await.unwrap(), 1);
            assert_eq!(grow.call_async(&mut store, 200).await.unwrap(), u32::MAX, "past the maximum");
        });
        let data = memory.data_mut(&mut store);
        assert_eq!(data.len(), 8 * 65_536);
        assert_same(&data[..65_536], image.bytes());
        assert!(data[65_536..].iter().all(|byte| *byte == 0));
        data[65_536..].fill(0xAA);
        drop(store);
        Arc::get_mut(&mut slot).unwrap().restore(&PageMap::default(), image.byte_len(), true).unwrap();
        assert_same(bytes(&mut slot), image.bytes());
    }
}

#[test]
fn a_slot_outlives_neither_its_store_nor_its_image_too_early() {
    let engine = engine().unwrap();
    let module = Module::new(&engine, wat::parse_str(r#"(module (memory (export "memory") 1))"#).unwrap()).unwrap();
    let slot = Arc::new(Slot::new(image(16)).unwrap());
    let mut store = Store::new(&engine, ());
    let instance = with_slot(&slot, 65_536, || Instance::new(&mut store, &module, &[])).unwrap();
    drop(slot); // the store keeps it
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    assert_eq!(memory.data(&store)[0], 1);
    let second = Slot::new(image(16)).unwrap();
    drop(store);
    drop(second);
}

#[test]
fn many_threads_map_write_and_restore_at_once() {
    let image = image(257); // not a multiple of anything
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let image = image.clone();
            scope.spawn(move || {
                for round in 0..40_usize {
                    let mut slot = Arc::new(Slot::new(image.clone()).unwrap());
                    slot.scan_and_track().unwrap();
                    let page = (thread * 31 + round * 7) % 257;
                    write(&mut slot, page, 200);
                    assert!(changed(&slot).contains(&page));
                    Arc::get_mut(&mut slot).unwrap().restore(&PageMap::default(), image.byte_len(), true).unwrap();
                    assert_same(bytes(&mut slot), image.bytes());
                }
            });
        }
    });
}
