//! The Python side (`runtime/guest/`), embedded. A test compares this list with the directory.

/// Path below `/usr/local/lib/pymd` and content.
pub const FILES: &[(&str, &str)] = &[
    ("IPython/__init__.py", include_str!("../../../../runtime/guest/IPython/__init__.py")),
    ("IPython/_shell.py", include_str!("../../../../runtime/guest/IPython/_shell.py")),
    ("IPython/core/__init__.py", include_str!("../../../../runtime/guest/IPython/core/__init__.py")),
    ("IPython/core/display.py", include_str!("../../../../runtime/guest/IPython/core/display.py")),
    ("IPython/core/getipython.py", include_str!("../../../../runtime/guest/IPython/core/getipython.py")),
    ("IPython/core/interactiveshell.py", include_str!("../../../../runtime/guest/IPython/core/interactiveshell.py")),
    ("IPython/display.py", include_str!("../../../../runtime/guest/IPython/display.py")),
    ("IPython/lib/__init__.py", include_str!("../../../../runtime/guest/IPython/lib/__init__.py")),
    ("IPython/lib/pretty.py", include_str!("../../../../runtime/guest/IPython/lib/pretty.py")),
    ("IPython/terminal/__init__.py", include_str!("../../../../runtime/guest/IPython/terminal/__init__.py")),
    (
        "IPython/terminal/interactiveshell.py",
        include_str!("../../../../runtime/guest/IPython/terminal/interactiveshell.py"),
    ),
    ("_pymd_base.py", include_str!("../../../../runtime/guest/_pymd_base.py")),
    ("_pymd_compile.py", include_str!("../../../../runtime/guest/_pymd_compile.py")),
    ("_pymd_display.py", include_str!("../../../../runtime/guest/_pymd_display.py")),
    ("_pymd_errors.py", include_str!("../../../../runtime/guest/_pymd_errors.py")),
    ("_pymd_figures.py", include_str!("../../../../runtime/guest/_pymd_figures.py")),
    ("_pymd_hooks.py", include_str!("../../../../runtime/guest/_pymd_hooks.py")),
    ("_pymd_input.py", include_str!("../../../../runtime/guest/_pymd_input.py")),
    ("_pymd_loop.py", include_str!("../../../../runtime/guest/_pymd_loop.py")),
    ("_pymd_media.py", include_str!("../../../../runtime/guest/_pymd_media.py")),
    ("_pymd_mpl.py", include_str!("../../../../runtime/guest/_pymd_mpl.py")),
    ("_pymd_packages.py", include_str!("../../../../runtime/guest/_pymd_packages.py")),
    ("_pymd_runner.py", include_str!("../../../../runtime/guest/_pymd_runner.py")),
    ("_pymd_streams.py", include_str!("../../../../runtime/guest/_pymd_streams.py")),
    ("pymd.py", include_str!("../../../../runtime/guest/pymd.py")),
];
