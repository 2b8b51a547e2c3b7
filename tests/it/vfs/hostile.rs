//! Any call with any arguments: an answer, never a panic, and the counters stay exact.

use pymd::backend::wasm::vfs::{Fs, FsQuota};

use super::guest::{FUEL, FUNCTIONS, Guest};
use super::oracle::Random;

/// Numbers on which mistakes show.
const EDGES: [i64; 12] =
    [0, 1, -1, 7, 0xffff, 0x1_0000, 0x1_fff8, 0x2_0000, i32::MAX as i64, i64::MAX, i64::MIN, 1 << 40];

fn argument(random: &mut Random) -> i64 {
    match random.below(8) {
        0..=2 => random.below(12) as i64,
        3..=4 => random.below(0x2_0000) as i64,
        5 => random.below(64) as i64 * 8,
        6 => EDGES[random.below(EDGES.len() as u64) as usize],
        _ => (random.below(u64::from(u32::MAX)) << 32 | random.below(u64::from(u32::MAX))) as i64,
    }
}

#[tokio::test]
async fn random_calls_are_answered() {
    let quota = FsQuota { bytes: 1 << 20, inodes: 60, open_files: 30, path_depth: 6, name_bytes: 20 };
    for seed in 1..=8 {
        let mut random = Random(seed);
        let mut fs = Fs::new(quota);
        fs.mount_file("/a/b", std::sync::Arc::new(b"read-only".as_slice())).unwrap();
        let mut guest = Guest::new(fs).await;
        let calls: Vec<_> =
            FUNCTIONS.iter().filter(|(name, ..)| *name != "proc_exit" && *name != "poll_oneoff").collect();
        for step in 0..4_000 {
            // Short paths, so that they meet, and small vectors.
            let text = ["a", "b", "a/b", "c/../a", "d", "./d/e", "l", "l/"][random.below(8) as usize];
            guest.put(random.below(64) as usize * 8, text.as_bytes());
            let vector = (random.below(0x1_ffff) as u32, random.below(70_000) as u32);
            guest.put_vectors(random.below(64) as usize * 8, &[vector]);
            let (name, parameters, _) = calls[random.below(calls.len() as u64) as usize];
            let mut arguments: Vec<i64> = parameters.chars().map(|_| argument(&mut random)).collect();
            if name.starts_with("path_") && random.below(2) == 0 {
                // A likely call: through the root, with a path that is one.
                arguments[0] = 3;
                let place = if *name == "path_filestat_get" || *name == "path_open" { 2 } else { 1 };
                guest.put(0, text.as_bytes());
                arguments[place] = 0;
                arguments[place + 1] = text.len() as i64;
            }
            guest.store.set_fuel(FUEL).unwrap();
            if let Err(error) = guest.try_call(name, &arguments).await {
                assert!(format!("{error:?}").contains("output limit"), "{name} {arguments:x?}: {error:?}");
            }
            let fs = guest.fs();
            assert_eq!(fs.recount(), fs.usage(), "seed {seed}, step {step}: {name} {arguments:x?}");
        }
        let used = guest.fs().usage();
        assert!(used.bytes <= quota.bytes && used.inodes <= quota.inodes && used.open_files <= quota.open_files);
    }
}
