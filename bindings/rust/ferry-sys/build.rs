//! Says where libferry is.
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=FERRY_LIB_DIR");
    println!("cargo:rustc-link-lib=ferry");
    if let Ok(folder) = std::env::var("FERRY_LIB_DIR") {
        println!("cargo:rustc-link-search=native={}", folder);
        return;
    }
    let answer = Command::new("pkg-config").args(["--variable=libdir", "ferry"]).output();
    if let Ok(answer) = answer {
        let folder = String::from_utf8_lossy(&answer.stdout).trim().to_string();
        if answer.status.success() && !folder.is_empty() {
            println!("cargo:rustc-link-search=native={}", folder);
        }
    }
}
