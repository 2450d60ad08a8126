//! Take the kernel proper (`vmlinux`) out of a bzImage.
//!
//! In:  the bytes of a `vmlinuz`, and `xz`, `zstd` or `lz4` for its payload.
//! Out: an ELF file that QEMU starts directly (PVH), which saves the emulated processor 2 s of unpacking.
//! Gives `None` where the image is of another kind: the bzImage itself then boots, only slower.
//!
//! Format: linux `Documentation/arch/x86/boot.rst`, fields `setup_sects`, `payload_offset`, `payload_length`.

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    thread,
};

use flate2::read::GzDecoder;

/// How a payload is packed, told by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Xz,
    Zstd,
    Lz4,
}

impl Packing {
    /// Recognises packed bytes.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        const MAGICS: [(&[u8], Packing); 4] = [
            (b"\x1f\x8b\x08", Packing::Gzip),
            (b"\xfd7zXZ\0", Packing::Xz),
            (b"\x28\xb5\x2f\xfd", Packing::Zstd),
            (b"\x02\x21\x4c\x18", Packing::Lz4),
        ];
        MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, packing)| *packing)
    }

    /// Unpacks; `None` when the bytes are damaged or the program is absent.
    pub(crate) fn unpack(self, packed: &[u8]) -> Option<Vec<u8>> {
        match self {
            Packing::Gzip => {
                let mut bytes = Vec::new();
                GzDecoder::new(packed).read_to_end(&mut bytes).ok()?;
                Some(bytes)
            }
            Packing::Xz => pipe("xz", packed),
            Packing::Zstd => pipe("zstd", packed),
            Packing::Lz4 => pipe("lz4", packed),
        }
    }
}

/// The ELF file inside a bzImage.
pub(crate) fn vmlinux(image: &[u8]) -> Option<Vec<u8>> {
    let payload = payload(image)?;
    let packing = Packing::of(payload)?;
    // All but gzip end with the unpacked size, put there by the kernel's build.
    let (packed, size) = match packing {
        Packing::Gzip => (payload, None),
        Packing::Xz | Packing::Zstd | Packing::Lz4 => {
            let (packed, size) = payload.split_last_chunk::<4>()?;
            (packed, Some(u32::from_le_bytes(*size)))
        }
    };
    let elf = packing.unpack(packed)?;
    let whole = size.is_none_or(|size| u32::try_from(elf.len()) == Ok(size));
    (whole && elf.starts_with(b"\x7fELF")).then_some(elf)
}

/// The packed kernel, found through the setup header.
fn payload(image: &[u8]) -> Option<&[u8]> {
    const MAGIC: usize = 0x202;
    const SETUP_SECTS: usize = 0x1f1;
    const PAYLOAD_OFFSET: usize = 0x248;
    const PAYLOAD_LENGTH: usize = 0x24c;
    const SECTOR_BYTES: usize = 512;
    if image.get(MAGIC..MAGIC + 4)? != b"HdrS" {
        return None;
    }
    let number = |at: usize| usize::try_from(u32::from_le_bytes(*image.get(at..)?.first_chunk::<4>()?)).ok();
    let setup = (usize::from(*image.get(SETUP_SECTS)?) + 1) * SECTOR_BYTES;
    let start = setup.checked_add(number(PAYLOAD_OFFSET)?)?;
    image.get(start..start.checked_add(number(PAYLOAD_LENGTH)?)?)
}

/// Sends bytes through `program -dc`.
fn pipe(program: &str, input: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(program)
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    let mut stdout = child.stdout.take()?;
    let mut output = Vec::new();
    thread::scope(|scope| {
        // Both pipes are small: writing and reading go on side by side.
        scope.spawn(move || stdin.write_all(input).is_ok());
        stdout.read_to_end(&mut output).ok()
    })?;
    child.wait().ok()?.success().then_some(output)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    /// A bzImage with one setup sector and a gzip payload.
    fn image(content: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(content).unwrap();
        let payload = gzip.finish().unwrap();
        let mut image = vec![0; 1024 + 16];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        image.extend(payload);
        image
    }

    #[test]
    fn the_payload_is_found_and_unpacked() {
        assert_eq!(vmlinux(&image(b"\x7fELF and more")).unwrap(), b"\x7fELF and more");
    }

    #[test]
    fn damaged_images_give_nothing() {
        let good = image(b"\x7fELF and more");
        let mut no_magic = good.clone();
        no_magic[0x202] = 0;
        let mut long = good.clone();
        long[0x24f] = 0xff;
        let cases: &[(&str, &[u8])] = &[
            ("empty", &[]),
            ("no magic", &no_magic),
            ("payload longer than the file", &long),
            ("cut off", &good[..good.len() - 9]),
            ("not an ELF file", &image(b"something else")),
        ];
        for (name, image) in cases {
            assert!(vmlinux(image).is_none(), "case: {name}");
        }
    }
}
