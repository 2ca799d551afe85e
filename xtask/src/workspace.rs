//! The workspace as `cargo metadata` describes it: where it lies, its packages, what they import.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Where things are.
#[derive(Debug)]
pub struct Workspace {
    /// The repository's root.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target: PathBuf,
    /// Its packages, in cargo's order.
    pub packages: Vec<Package>,
}

/// One package of the workspace.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// As in its manifest: `trunkline-hub`.
    pub name: String,
    /// Its manifest's path below the root, with `/` between the parts.
    pub manifest: String,
    /// What it imports directly.
    pub dependencies: Vec<Dependency>,
    /// Its cargo features.
    pub features: Vec<String>,
}

/// A direct dependency.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// The package's name, also where the manifest renames it.
    pub name: String,
    /// Which section of the manifest names it.
    pub kind: DependencyKind,
    /// Whether it is a package of this repository.
    pub internal: bool,
}

/// What a dependency is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DependencyKind {
    /// The product itself.
    Normal,
    /// Build scripts.
    Build,
    /// Tests and examples.
    Dev,
}

impl Workspace {
    /// Asks cargo. Needs no network and no lock file.
    pub fn open() -> Result<Self> {
        let root = root()?;
        let output = cargo(&root)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!("`cargo metadata` failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let metadata: Value =
            serde_json::from_slice(&output.stdout).context("`cargo metadata` speaks no JSON")?;
        let target =
            metadata["target_directory"].as_str().context("`cargo metadata` names no target directory")?;
        let root_text = metadata["workspace_root"].as_str().context("`cargo metadata` names no root")?;
        let packages =
            read_packages(&metadata, root_text).context("`cargo metadata` has another form now")?;
        Ok(Self { target: PathBuf::from(target), packages, root })
    }

    /// The package of that name.
    pub fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// A cargo that works here.
    pub fn cargo(&self) -> Command {
        cargo(&self.root)
    }

    /// Where logs go.
    pub fn logs(&self) -> PathBuf {
        self.target.join("xtask")
    }
}

fn read_packages(metadata: &Value, root: &str) -> Option<Vec<Package>> {
    metadata["packages"].as_array()?.iter().map(|package| read_package(package, root)).collect()
}

fn read_package(package: &Value, root: &str) -> Option<Package> {
    let manifest = package["manifest_path"].as_str()?.strip_prefix(root)?.trim_start_matches('/');
    let dependencies =
        package["dependencies"].as_array()?.iter().map(read_dependency).collect::<Option<_>>()?;
    let features = package["features"].as_object()?.keys().cloned().collect();
    Some(Package {
        name: package["name"].as_str()?.to_owned(),
        manifest: manifest.to_owned(),
        dependencies,
        features,
    })
}

fn read_dependency(dependency: &Value) -> Option<Dependency> {
    let kind = match dependency["kind"].as_str() {
        None => DependencyKind::Normal,
        Some("dev") => DependencyKind::Dev,
        Some("build") => DependencyKind::Build,
        Some(_) => return None,
    };
    Some(Dependency {
        name: dependency["name"].as_str()?.to_owned(),
        kind,
        internal: dependency["path"].is_string(),
    })
}

/// The repository's root: cargo says at run time where this package is; a binary started by hand knows where it
/// was built.
fn root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let package = package.filter(|path| path.ends_with("xtask"));
    let package = package.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let root = package.parent().context("xtask lies outside of a workspace")?;
    if !root.join("Cargo.toml").exists() {
        bail!("{} holds no workspace; run `cargo xtask` inside the checkout", root.display());
    }
    Ok(root.to_owned())
}

/// A cargo command without what `cargo run` told us about ourselves, which would look like a changed environment
/// to the build scripts of others.
fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if ours.iter().any(|start| text.starts_with(start)) || text == "OUT_DIR" {
            command.env_remove(&name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read() {
        let metadata = serde_json::json!({ "packages": [{
            "name": "trunkline-hub", "manifest_path": "/r/crates/hub/Cargo.toml", "features": { "x": [] },
            "dependencies": [
                { "name": "trunkline-model", "kind": null, "path": "/r/crates/model" },
                { "name": "proptest", "kind": "dev" },
            ],
        }] });
        let packages = read_packages(&metadata, "/r").expect("well formed");
        assert_eq!(packages[0].name, "trunkline-hub");
        assert_eq!(packages[0].manifest, "crates/hub/Cargo.toml");
        assert_eq!(packages[0].features, ["x"]);
        assert!(packages[0].dependencies[0].internal);
        assert_eq!(packages[0].dependencies[1].kind, DependencyKind::Dev);
    }

    #[test]
    fn this_workspace_opens() {
        let workspace = Workspace::open().expect("we are in it");
        assert!(workspace.package("xtask").is_some());
    }
}
