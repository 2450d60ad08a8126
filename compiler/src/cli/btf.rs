//! `--btf`: types of kernels, from files.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use super::{args::BtfArgs, io};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    relocate::Kernel,
};

/// Largest BTF, in bytes: that of a distribution's kernel has 5 to 10 MB.
const BTF_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Content of all files, unpacked, with their names.
pub(super) fn read(args: &BtfArgs) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    args.btf
        .iter()
        .map(|path| {
            let bytes = io::read_file(path, BTF_MAX_BYTES)?;
            // Files of sysfs say that they are larger than they are; what counts was read.
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            Ok((name, if bytes.starts_with(&[0x1f, 0x8b]) { unpack(&bytes).unwrap_or_default() } else { bytes }))
        })
        .collect()
}

/// `None` if it is damaged or too large.
fn unpack(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes).take(BTF_MAX_BYTES as u64 + 1).read_to_end(&mut unpacked).ok()?;
    (unpacked.len() <= BTF_MAX_BYTES).then_some(unpacked)
}

/// Kernels of the files that have types; the others are reported.
pub(super) fn parse<'a>(blobs: &'a [(String, Vec<u8>)], diags: &mut Diagnostics) -> Vec<Kernel<'a>> {
    let mut kernels = Vec::new();
    for (name, blob) in blobs {
        match Kernel::parse(name.clone(), blob) {
            Ok(kernel) => kernels.push(kernel),
            Err(error) => diags.push(
                Diagnostic::error(Code::NotKernelBtf, format!("`{}` is not the BTF of a kernel", shown(name)))
                    .note(error.0)
                    .help("copy it from a node: oc debug node/NAME -- cat /host/sys/kernel/btf/vmlinux > node.btf"),
            ),
        }
    }
    kernels
}
