//! Importing modules ahead: what fails is left out, says why, and leaves nothing.

use pymd::backend::wasm::{EnvironmentBase, WarmLimits};

use super::{Wheels, environment, quick, shows, spec};
use crate::support::sandbox;

fn error_of<'a>(environment: &'a EnvironmentBase, module: &str) -> &'a str {
    let failed = &environment.report().failed;
    &failed.iter().find(|failed| failed.module == module).unwrap_or_else(|| panic!("{module}: {failed:?}")).error
}

#[tokio::test]
async fn modules_that_cannot_be_imported_are_named_and_the_others_go_on() {
    let wheels = Wheels::new();
    let modules = [
        ("raises", "import sys\nsys.left = 1\nraise ValueError('no display')\n", "ValueError: no display"),
        ("loops", "import sys\nsys.left = 1\nwhile True: pass\n", "fuel"),
        ("exits", "import sys\nsys.left = 1\nsys.exit(3)\n", "exit code 3"),
        ("ends", "import os, sys\nsys.left = 1\nos._exit(4)\n", "exit code 4"),
        ("aborts", "import os, sys\nsys.left = 1\nos.abort()\n", "crashes"),
        ("eats", "import sys\nsys.left = 1\nL = []\nwhile True: L.append(bytes(1 << 20))\n", "memory"),
        ("chatters", "import sys\nsys.left = 1\nwhile True: print('x' * 9999)\n", "prints more"),
        ("threads", "import threading\nthreading.Thread(target=print).start()\n", "RuntimeError"),
        ("connects", "import socket\nsocket.create_connection(('127.0.0.1', 9))\n", "Error"),
        ("writes", "open('/tmp/cache', 'w').write('x')\n", "/tmp/cache was made"),
        ("moves", "import os\nos.rename('/tmp', '/moved')\n", "leaves files behind"),
        ("opens", "import sys\nf = open(__file__)\n", "opens.py was left open"),
        ("sleeps", "import time\ntime.sleep(10 ** 6)\n", "longer than"),
        ("missing", "", "ModuleNotFoundError"),
    ];
    let mut layers = Vec::new();
    for (name, code, _) in modules.iter().filter(|(name, ..)| *name != "missing") {
        layers.push(wheels.module(name, code));
    }
    layers.push(wheels.module("first", "X = []\n"));
    layers.push(wheels.module("last", "import first\nfirst.X.append(1)\n"));
    let mut names = vec!["first"];
    names.extend(modules.iter().map(|(name, ..)| *name));
    names.push("last");
    let mut spec = spec(layers, &names);
    spec.limits.each.wall_ms = 3_000;
    let environment = sandbox().await.environment(&spec).await.unwrap();
    assert_eq!(environment.report().imported, ["first", "last"]);
    for (name, _, words) in modules {
        let error = error_of(&environment, name);
        assert!(error.contains(words), "{name}: {error}");
    }
    let code = "import sys, os\nprint(hasattr(sys, 'left'), sorted(os.listdir('/tmp')), sys.modules['first'].X)\n\
        print([name for name in ('raises', 'loops', 'exits', 'ends', 'eats', 'writes', 'opens') if name in sys.modules])\n\
        try:\n    import raises\nexcept ValueError as error:\n    print(error)\n\
        import writes\nprint(open('/tmp/cache').read())";
    assert_eq!(shows(&environment, code).await, "False [] [1]\n[]\nno display\nx\n");
}

#[tokio::test]
async fn files_that_are_gone_again_at_the_end_do_no_harm() {
    let wheels = Wheels::new();
    let code = "import os, tempfile\n\
        with tempfile.TemporaryDirectory() as d:\n    open(d + '/x', 'w').write('x')\n\
        class Cycle: pass\nc = Cycle(); c.c = c; c.f = open(__file__); del c\n";
    let environment = environment(vec![wheels.module("tidy", code)], &["tidy"]).await;
    assert_eq!(environment.report().imported, ["tidy"], "{:?}", environment.report());
    assert_eq!(
        shows(&environment, "import tidy, os; print(os.listdir('/tmp'), open(tidy.__file__).fileno())").await,
        "[] 5\n"
    );
}

#[tokio::test]
async fn what_imports_print_is_not_shown() {
    let wheels = Wheels::new();
    let code = "import sys\nprint('welcome')\nprint('warning', file=sys.stderr)\nsys.stdout.write('no newline')\n";
    let environment = environment(vec![wheels.module("noisy", code)], &["noisy"]).await;
    assert_eq!(environment.report().imported, ["noisy"]);
    assert_eq!(shows(&environment, "import noisy; print('mine')").await, "mine\n");
}

/// A module may change the interpreter that it is imported into; cells still run.
#[tokio::test]
async fn modules_that_change_the_interpreter_leave_it_working() {
    let wheels = Wheels::new();
    let patches = "import builtins, sys\nbuiltins.abs = lambda x: 42\n\
        sys.modules[__name__] = 'replaced'\nsys.stdout = None\nsys.modules.pop('_pymd_runner', None)\n\
        sys.settrace(lambda *a: None)\nsys.setrecursionlimit(100)\n";
    let deletes = "import builtins\nremove = delattr\nfor name in list(vars(builtins)):\n    if not name.startswith('__'): remove(builtins, name)\n";
    let environment = environment(
        vec![wheels.module("patches", patches), wheels.module("deletes", deletes)],
        &["patches", "deletes"],
    )
    .await;
    // Without builtins, the import itself may not come to its end.
    assert_eq!(environment.report().imported[0], "patches", "{:?}", environment.report());
    let code = "import sys, json, wave\nprint(sys.modules['patches'], abs(-1) in (1, 42), json.dumps([1]))";
    assert_eq!(shows(&environment, code).await, "replaced True [1]\n");
}

#[tokio::test]
async fn all_imports_together_have_a_limit() {
    let wheels = Wheels::new();
    let names: Vec<_> = (0..6).map(|index| format!("work{index}")).collect();
    let layers = names.iter().map(|name| wheels.module(name, "for i in range(1_000_000): pass\n")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut spec = spec(layers, &names);
    spec.limits = WarmLimits { total_fuel: 1_500_000_000, ..quick() };
    let environment = sandbox().await.environment(&spec).await.unwrap();
    let report = environment.report();
    assert!(!report.imported.is_empty() && !report.failed.is_empty(), "{report:?}");
    assert_eq!(report.imported.len() + report.failed.len(), 6);
    assert!(report.failed.last().unwrap().error.contains("imports before it"), "{report:?}");
}

#[tokio::test]
async fn names_that_are_no_modules_fail_alone() {
    let wheels = Wheels::new();
    let names = ["", ".", "..good", "a b", "good", "good", "__main__", "x\0y", "good.none", "_pymd_runner", "é"];
    let environment = environment(vec![wheels.module("good", "")], &names).await;
    assert_eq!(environment.report().imported, ["good", "__main__", "_pymd_runner"]);
    assert_eq!(environment.report().failed.len(), 7);
    assert_eq!(shows(&environment, "print(1)").await, "1\n");
}

#[tokio::test]
async fn generators_without_a_seed_of_their_own_differ_from_kernel_to_kernel() {
    let wheels = Wheels::new();
    let code = "import random\nfrom random import Random\nfree = Random()\nfixed = Random(7)\nlater = Random()\nlater.seed(8)\n\
        class Own(Random): pass\nown = Own()\n";
    let environment = environment(vec![wheels.module("dice", code)], &["dice"]).await;
    let code = "import dice, random\nprint(dice.free.random(), dice.own.random(), random.random())\n\
        print(dice.fixed.random() == random.Random(7).random(), dice.later.random() == random.Random(8).random())\n\
        print(random.Random.seed.__module__)";
    let mut seen = std::collections::HashSet::new();
    for _ in 0..5 {
        let text = shows(&environment, code).await;
        let (first, rest) = text.split_once('\n').unwrap();
        assert_eq!(rest, "True True\nrandom\n");
        for number in first.split(' ') {
            assert!(seen.insert(number.to_owned()), "{number} came twice");
        }
    }
}

#[tokio::test]
async fn data_packages_are_taken_from_the_warm_image() {
    let wheels = Wheels::new();
    let layer = wheels.module("frames", "import pandas\ndef f():\n    return pandas.DataFrame({'a': [1, 2]})\n");
    let environment = environment(vec![layer], &["pandas", "matplotlib.pyplot", "frames"]).await;
    assert_eq!(environment.report().failed, []);
    let code =
        "import sys\nprint('pandas' in sys.modules, 'frames' in sys.modules)\nimport frames\nprint(frames.f().a.sum())";
    assert_eq!(shows(&environment, code).await, "True True\n3\n");
}

/// The warm image has `six` in it, of the runtime's version.
#[tokio::test]
async fn another_version_of_what_the_warm_image_holds_keeps_it_from_being_used() {
    let wheels = Wheels::new();
    let layer = wheels.module("six", "__version__ = 'ours'\n");
    let environment = environment(vec![layer], &["numpy", "six"]).await;
    assert_eq!(environment.report().failed, []);
    assert_eq!(
        shows(&environment, "import numpy, six; print(six.__version__, numpy.arange(3).sum())").await,
        "ours 3\n"
    );
}
