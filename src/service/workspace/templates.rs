//! What an environment can begin with.

use serde::Serialize;

/// A set of packages to begin with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Template {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// The packages asked for.
    pub packages: &'static [&'static str],
    /// The modules that are imported beforehand beside those of the packages.
    pub warm_imports: &'static [&'static str],
}

/// All of them.
pub const TEMPLATES: [Template; 4] = [
    Template {
        name: "data-science",
        description: "Tables, statistics, machine learning and figures",
        packages: &["numpy", "pandas", "scipy", "scikit-learn", "statsmodels", "matplotlib"],
        warm_imports: &["numpy", "pandas", "matplotlib.pyplot"],
    },
    Template {
        name: "plotting",
        description: "Figures of all kinds",
        packages: &["numpy", "matplotlib", "seaborn", "pillow"],
        warm_imports: &["numpy", "matplotlib.pyplot"],
    },
    Template {
        name: "text",
        description: "Text, templates and tables of text",
        packages: &["jinja2", "markdown-it-py", "beautifulsoup4", "tabulate", "humanize", "rich"],
        warm_imports: &[],
    },
    Template {
        name: "empty",
        description: "Nothing but what is linked into the runtime",
        packages: &[],
        warm_imports: &[],
    },
];

/// The template of that name.
pub(super) fn find(name: &str) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.name == name)
}
