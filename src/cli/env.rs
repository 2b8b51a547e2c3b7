//! `pymd env`: environments of the one who runs the server.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::failure::Failure;
use super::flags::{BaseArgs, LimitFlags};
use super::{exit, install_progress, local};
use crate::domain::{Environment, EnvironmentName, InstallReport, PageRequest, UserId};
use crate::service::{
    AddPackages, CloneEnvironment, CreateEnvironment, ImportRequirements, ServiceError, UpdateEnvironment, Workspace,
};
use crate::telemetry;

/// `pymd env` with what it needs around it.
#[derive(Debug, Args)]
pub struct EnvArgs {
    #[command(flatten)]
    base: BaseArgs,
    #[command(subcommand)]
    command: EnvCommand,
}

/// What to do with environments.
#[derive(Debug, Subcommand)]
enum EnvCommand {
    /// Make an environment
    Create {
        /// Its name: 1 to 100 of letters, digits, `-` and `_`
        #[arg(value_name = "NAME")]
        name: EnvironmentName,
        /// What to begin with: data-science, plotting, text or empty
        #[arg(long, value_name = "TEMPLATE")]
        template: Option<String>,
    },
    /// List the environments
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show an environment and its packages
    Show {
        /// Its name or id
        #[arg(value_name = "NAME")]
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Install packages
    Install {
        /// Name or id of the environment
        #[arg(value_name = "NAME")]
        name: String,
        /// What to install: rich, rich==14.0, 'httpx[http2]>=0.27'
        #[arg(value_name = "REQUIREMENT", required = true)]
        packages: Vec<String>,
        /// Move packages that are there already to the newest version that fits
        #[arg(long)]
        upgrade: bool,
    },
    /// Uninstall a package, and what only it needed
    Uninstall {
        /// Name or id of the environment
        #[arg(value_name = "NAME")]
        name: String,
        /// The package
        #[arg(value_name = "PACKAGE")]
        package: String,
    },
    /// Install what a requirements.txt asks for: all of it or nothing
    Import {
        /// Name or id of the environment
        #[arg(value_name = "NAME")]
        name: String,
        /// The file; - is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the exact packages
    Export {
        /// Name or id of the environment
        #[arg(value_name = "NAME")]
        name: String,
        /// In which form
        #[arg(long, value_name = "FORMAT", default_value = "pylock")]
        format: ExportFormat,
        /// File to write; - is standard output, which is also the default
        #[arg(short = 'o', long = "out", value_name = "OUT")]
        out: Option<PathBuf>,
    },
    /// Choose the modules that are imported beforehand, beside those of the packages asked for
    Warm {
        /// Name or id of the environment
        #[arg(value_name = "NAME")]
        name: String,
        /// The modules; none for just those of the packages
        #[arg(value_name = "MODULE")]
        modules: Vec<String>,
    },
    /// Make an environment with the same packages
    Clone {
        /// Name or id of the environment to copy
        #[arg(value_name = "NAME")]
        name: String,
        /// Name of the copy
        #[arg(value_name = "COPY")]
        copy: EnvironmentName,
    },
    /// Take all packages out of an environment
    Reset {
        /// Its name or id
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Delete an environment
    Delete {
        /// Its name or id
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Forms of the exact packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// `pylock.toml` (PEP 751)
    Pylock,
    /// `requirements.txt` with hashes
    Requirements,
}

/// Does it; the result is the exit code.
pub async fn run(args: EnvArgs) -> Result<u8, Failure> {
    let config = args.base.load()?;
    telemetry::init(&config.log, "warn")?;
    // Packages are compiled and imported in the sandbox; to look at environments needs none.
    let looks = matches!(
        args.command,
        EnvCommand::List { .. } | EnvCommand::Show { .. } | EnvCommand::Export { .. } | EnvCommand::Delete { .. }
    );
    let service =
        if looks { local::idle_service(&config) } else { local::service(&config, &LimitFlags::default()).await? };
    let (workspace, user) = local::workspace(&config, service).await?;
    let done = act(&workspace, user.id, args.command).await;
    workspace.database().close().await;
    done
}

async fn act(workspace: &Workspace, user: UserId, command: EnvCommand) -> Result<u8, Failure> {
    let progress = install_progress::for_stderr();
    let events = |event| progress.tell(&event);
    let find = async |name: &str| find(workspace, user, name).await;
    match command {
        EnvCommand::Create { name, template } => {
            let request = CreateEnvironment { name, python_version: None, template };
            let made = workspace.create_environment(user, request, &events).await?;
            progress.clear();
            say(&format!("{}\n", line(&made)))?;
        }
        EnvCommand::List { json } => list(workspace, user, json).await?,
        EnvCommand::Show { name, json } => show(workspace, user, &find(&name).await?, json).await?,
        EnvCommand::Install { name, packages, upgrade } => {
            let id = find(&name).await?.id;
            let report = workspace.install(user, id, AddPackages { packages, upgrade }, &events).await?;
            progress.clear();
            return tell(&report);
        }
        EnvCommand::Import { name, file } => {
            let requirements = local::read_text(&file)?;
            let id = find(&name).await?.id;
            let request = ImportRequirements { requirements };
            let report = workspace.import_requirements(user, id, request, &events).await?;
            progress.clear();
            return tell(&report);
        }
        EnvCommand::Uninstall { name, package } => {
            workspace.uninstall(user, find(&name).await?.id, &package).await?;
        }
        EnvCommand::Export { name, format, out } => {
            let id = find(&name).await?.id;
            let text = match format {
                ExportFormat::Pylock => workspace.lockfile(user, id).await?,
                ExportFormat::Requirements => workspace.requirements_txt(user, id).await?,
            };
            local::write_text(out.as_deref(), &text)?;
        }
        EnvCommand::Warm { name, modules } => {
            let request = UpdateEnvironment { name: None, warm_imports: Some(modules) };
            let environment = workspace.update_environment(user, find(&name).await?.id, request).await?;
            show(workspace, user, &environment, false).await?;
        }
        EnvCommand::Clone { name, copy } => {
            let copy =
                workspace.clone_environment(user, find(&name).await?.id, CloneEnvironment { name: copy }).await?;
            say(&format!("{}\n", line(&copy)))?;
        }
        EnvCommand::Reset { name } => {
            workspace.reset_environment(user, find(&name).await?.id).await?;
        }
        EnvCommand::Delete { name } => workspace.delete_environment(user, find(&name).await?.id).await?,
    }
    Ok(exit::DONE)
}

async fn find(workspace: &Workspace, user: UserId, name: &str) -> Result<Environment, Failure> {
    workspace.environment_named(user, name).await.map_err(|error| match error {
        ServiceError::NotFound { .. } => Failure::usage(format!("there is no environment `{name}`")),
        error => error.into(),
    })
}

async fn list(workspace: &Workspace, user: UserId, json: bool) -> Result<(), Failure> {
    let mut environments = Vec::new();
    for page in 1.. {
        let request = PageRequest::new(page, PageRequest::MAX_SIZE).map_err(Failure::fault)?;
        let page = workspace.environments(user, request).await?;
        let has_more = page.has_more();
        environments.extend(page.items);
        if !has_more {
            break;
        }
    }
    if json {
        return say_json(&environments);
    }
    say(&environments.iter().map(|environment| format!("{}\n", line(environment))).collect::<String>())
}

async fn show(workspace: &Workspace, user: UserId, environment: &Environment, json: bool) -> Result<(), Failure> {
    let packages = workspace.packages(user, environment.id).await?;
    if json {
        let packages = serde_json::to_value(&packages.packages).map_err(Failure::fault)?;
        let mut whole = serde_json::to_value(environment).map_err(Failure::fault)?;
        whole["packages"] = packages;
        return say_json(&whole);
    }
    let mut text = format!("{}\n", line(environment));
    for package in &packages.packages {
        let mark = if package.requested { "*" } else { " " };
        let (name, version) = (&package.name, &package.version);
        text.push_str(&format!("{mark} {name:<30} {version:<15} {:>10}\n", bytes(package.size_bytes)));
    }
    if let Some(warm) = &environment.warm {
        let names = warm["imported"].as_array().map(|names| names.iter().filter_map(|name| name.as_str()).collect());
        let names: Vec<&str> = names.unwrap_or_default();
        text.push_str(&format!(
            "imported beforehand: {}\n",
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        ));
    }
    say(&text)
}

/// An environment in a line.
fn line(environment: &Environment) -> String {
    let Environment { name, status, package_count, total_size_bytes, python_version, .. } = environment;
    let size = bytes(*total_size_bytes);
    format!("{:<20} {status}  Python {python_version}  {package_count} packages  {size}", name.as_str())
}

/// What came of an installation; the result is the exit code.
fn tell(report: &InstallReport) -> Result<u8, Failure> {
    let mut text = String::new();
    for package in report.successful.iter().chain(&report.dependencies) {
        text.push_str(&format!(
            "{:<30} {:<15} {:>10}\n",
            package.package_name,
            package.version,
            bytes(package.size_bytes)
        ));
    }
    say(&text)?;
    let mut complaints = String::new();
    for warning in &report.warnings {
        complaints.push_str(&format!("warning: {warning}\n"));
    }
    for failed in &report.failed {
        complaints.push_str(&format!("error: {}: {}\n", failed.package, failed.error));
    }
    // Nobody is left to tell when standard error is closed.
    let _ = io::stderr().write_all(complaints.as_bytes());
    Ok(if report.failed.is_empty() { exit::DONE } else { exit::FAILED })
}

fn bytes(count: u64) -> String {
    indicatif::DecimalBytes(count).to_string()
}

fn say(text: &str) -> Result<(), Failure> {
    local::write_text(None, text)
}

fn say_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::fault)?;
    say(&format!("{text}\n"))
}
