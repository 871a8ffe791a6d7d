//! Before the compiler: packs the page, and tells the linker what the daemon does without.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Leaves out unwinding tables, a tenth of the daemon. Only backtraces use them, as a panic ends the
/// process, and without symbols a backtrace has no names. The compiler writes them whatever `panic` is,
/// and the standard library comes with them. A build with RUSTFLAGS of its own keeps them, for a profiler.
const DISCARD_UNWINDING_TABLES: &str = "SECTIONS {
    /DISCARD/ : { *(.eh_frame .gcc_except_table .gcc_except_table.*) }
} INSERT AFTER .text;";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-changed=src/web/page.html");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let page = fs::read("src/web/page.html")?;
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(&page)?;
    fs::write(out.join("page.gz"), packer.finish()?)?;

    if is("PROFILE", "release") && has_usual_linker() {
        let script = out.join("discard.ld");
        fs::write(&script, DISCARD_UNWINDING_TABLES)?;
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
        if has_packed_relocations() {
            println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        }
    }
    Ok(())
}

/// Whether the linker is that of the toolchain or the system, which take such a script. Not all do.
fn has_usual_linker() -> bool {
    is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_ENCODED_RUSTFLAGS", "")
        && env::var_os("RUSTC_LINKER").is_none()
}

/// Whether it is built for this machine, whose C library reads packed relocations, as that of GNU does
/// from 2.36 on. They take 1 KB in place of 35.
fn has_packed_relocations() -> bool {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    // Such as `glibc 2.36`. Other systems have no such program, or other words.
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let minor = version
        .ok()
        .and_then(|text| text.trim().strip_prefix("glibc 2.")?.parse().ok());
    env::var("HOST") == env::var("TARGET") && minor.is_some_and(|minor: u32| minor >= 36)
}

fn is(variable: &str, value: &str) -> bool {
    env::var(variable).is_ok_and(|set| set == value)
}
