//! The Python side (`runtime/guest/`), embedded.

/// Path below `/usr/local/lib/pymd` and content.
pub const FILES: &[(&str, &str)] = &[
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
    ("_pymd_runner.py", include_str!("../../../../runtime/guest/_pymd_runner.py")),
    ("_pymd_streams.py", include_str!("../../../../runtime/guest/_pymd_streams.py")),
    ("pymd.py", include_str!("../../../../runtime/guest/pymd.py")),
    ("IPython/__init__.py", include_str!("../../../../runtime/guest/IPython/__init__.py")),
    ("IPython/_shell.py", include_str!("../../../../runtime/guest/IPython/_shell.py")),
    ("IPython/display.py", include_str!("../../../../runtime/guest/IPython/display.py")),
];
