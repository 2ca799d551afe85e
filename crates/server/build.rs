//! Tells cargo to embed the UI again when it was built again.

fn main() {
    println!("cargo::rerun-if-changed=../../ui/dist");
}
