//! What a kernel sees of an environment's packages.

use super::{Wheels, environment, shows};

/// A package with modules, data, metadata and an entry point.
fn greeter(wheels: &Wheels) -> std::path::PathBuf {
    wheels.file("greeter", "greeter/__init__.py", "from .words import HELLO\nVERSION = '1.2'\n");
    wheels.file("greeter", "greeter/words.py", "HELLO = 'hello'\ndef main():\n    return HELLO\n");
    wheels.file("greeter", "greeter/data/names.txt", "Ada\nGrace\n");
    wheels.file("greeter", "greeter/sub/__init__.py", "");
    let info = "greeter-1.2.dist-info";
    wheels.file("greeter", &format!("{info}/METADATA"), "Metadata-Version: 2.1\nName: greeter\nVersion: 1.2\n");
    wheels.file("greeter", &format!("{info}/entry_points.txt"), "[console_scripts]\ngreet = greeter.words:main\n");
    let record = "greeter/__init__.py,,\ngreeter/words.py,,\ngreeter/data/names.txt,,\n";
    wheels.file("greeter", &format!("{info}/RECORD"), record)
}

#[tokio::test]
async fn the_first_cell_finds_packages_imported() {
    let wheels = Wheels::new();
    let environment = environment(vec![greeter(&wheels)], &["greeter"]).await;
    assert_eq!(environment.report().imported, ["greeter"]);
    assert_eq!(environment.report().failed, []);
    let code = "import sys\nprint('greeter.words' in sys.modules, 'greeter' in globals())\n\
        import greeter\nprint(greeter.HELLO, greeter.__file__)";
    let expected = "True False\nhello /usr/local/lib/python3.15/site-packages/greeter/__init__.py\n";
    assert_eq!(shows(&environment, code).await, expected);
}

#[tokio::test]
async fn metadata_resources_and_files_are_found() {
    let wheels = Wheels::new();
    let environment = environment(vec![greeter(&wheels)], &[]).await;
    let code = "\
import importlib.metadata as metadata, importlib.resources as resources, pkgutil, os
import greeter
print(metadata.version('greeter'), [str(path) for path in metadata.files('greeter')])
(entry,) = metadata.entry_points(group='console_scripts', name='greet')
print(entry.load()())
print(resources.files('greeter').joinpath('data/names.txt').read_text().split())
print([module.name for module in pkgutil.iter_modules(greeter.__path__)], pkgutil.get_data('greeter', 'data/names.txt'))
print(open(os.path.join(os.path.dirname(greeter.__file__), 'data', 'names.txt')).readline())
print(metadata.version('numpy').split('.')[0])
import sysconfig
print(sysconfig.get_path('purelib') == os.path.dirname(os.path.dirname(greeter.__file__)))";
    let expected = "\
1.2 ['greeter/__init__.py', 'greeter/words.py', 'greeter/data/names.txt']
hello
['Ada', 'Grace']
['sub', 'words'] b'Ada\\nGrace\\n'
Ada

2
True
";
    assert_eq!(shows(&environment, code).await, expected);
}

#[tokio::test]
async fn packages_cannot_be_changed_by_a_cell() {
    let wheels = Wheels::new();
    let environment = environment(vec![greeter(&wheels)], &[]).await;
    let code = "\
import greeter, os
for act in (lambda: open(greeter.__file__, 'w'), lambda: os.remove(greeter.__file__),
            lambda: os.mkdir(os.path.dirname(greeter.__file__) + '/new')):
    try:
        act()
    except OSError as error:
        print(error.strerror)";
    assert_eq!(shows(&environment, code).await, "Read-only file system\n".repeat(3));
    assert!(wheels.dir("greeter").join("greeter/__init__.py").exists());
}

#[tokio::test]
async fn an_environments_version_of_a_linked_package_wins() {
    let wheels = Wheels::new();
    let jinja2 = wheels.file("jinja2", "jinja2/__init__.py", "__version__ = 'ours'\n");
    wheels.file("jinja2", "jinja2-99.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: jinja2\nVersion: 99.0\n");
    // One of which parts are compiled in: those are of another version, and not to be found.
    let regex =
        wheels.file("regex", "regex/__init__.py", "try:\n    from . import _regex\nexcept ImportError:\n    C = 0\n");
    let environment = environment(vec![jinja2, regex], &["jinja2", "regex"]).await;
    assert_eq!(environment.report().failed, []);
    let code = "import jinja2, regex, tabulate\nfrom importlib.metadata import version\n\
        print(jinja2.__version__, version('jinja2'), regex.C, tabulate.__file__[:28])";
    assert_eq!(shows(&environment, code).await, "ours 99.0 0 /usr/local/lib/python315.zip\n");
}

#[tokio::test]
async fn neither_the_standard_library_nor_the_runner_is_shadowed() {
    let wheels = Wheels::new();
    let names = ["json", "getpass", "wave", "pymd", "_pymd_base", "IPython", "sys", "decimal"];
    let layers: Vec<_> = names.iter().map(|name| wheels.module(name, "raise ImportError('shadowed')\n")).collect();
    let environment = environment(layers, &names).await;
    assert_eq!(environment.report().failed, []);
    let code = "import json, getpass, wave, pymd, IPython.display, sys\n\
        print({json.__file__[:23], wave.__file__[:23], getpass.__file__[:23]}, pymd.__file__)";
    assert_eq!(shows(&environment, code).await, "{'/usr/local/lib/python31'} /usr/local/lib/pymd/pymd.py\n");
}

#[tokio::test]
async fn code_in_pth_files_is_not_run() {
    let wheels = Wheels::new();
    let layer = wheels.file("evil", "evil.pth", "import sys; sys.evil = True\n");
    wheels.file("evil", "evil.py", "");
    let environment = environment(vec![layer], &["evil"]).await;
    assert_eq!(shows(&environment, "import sys; print(hasattr(sys, 'evil'))").await, "False\n");
}

#[tokio::test]
async fn packages_of_one_environment_are_not_in_another() {
    let wheels = Wheels::new();
    let one = environment(vec![wheels.module("only_one", "SECRET = 'of one'\n")], &["only_one"]).await;
    let two = environment(vec![wheels.module("only_two", "SECRET = 'of two'\n")], &["only_two"]).await;
    let code = "import sys, os, gc\nprint([name for name in sys.modules if name.startswith('only_')])\n\
        print(os.listdir('/usr/local/lib/python3.15/site-packages'))\n\
        print([s for s in ('of one', 'of two') if any(type(o) is dict and o.get('SECRET') == s for o in gc.get_objects())])\n\
        gc.unfreeze()\n\
        print([s for s in ('of one', 'of two') if any(type(o) is dict and o.get('SECRET') == s for o in gc.get_objects())])";
    assert_eq!(shows(&one, code).await, "['only_one']\n['only_one.py']\n[]\n['of one']\n");
    assert_eq!(shows(&two, code).await, "['only_two']\n['only_two.py']\n[]\n['of two']\n");
    let plain = crate::support::sandbox().await.kernel().unwrap();
    let (_, text) = super::prints(
        plain,
        "import sys, os; print([p for p in sys.path if 'site' in p], os.path.exists('/usr/local/lib/python3.15'))",
    )
    .await;
    assert_eq!(text, "[] False\n");
}

/// Two wheels of one namespace, merged with what the runtime has of it.
#[tokio::test]
async fn namespace_packages_are_merged() {
    let wheels = Wheels::new();
    let one = wheels.file("ns1", "space/one.py", "X = 1\n");
    let two = wheels.file("ns2", "space/two.py", "X = 2\n");
    let environment = environment(vec![one, two], &["space.one"]).await;
    assert_eq!(shows(&environment, "from space import one, two; print(one.X + two.X)").await, "3\n");
}
