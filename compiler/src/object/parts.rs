//! Parts: an object taken apart once, for all that look at it.
//!
//! In:   bytes of a file. Out: [`Parts`], in which everything that refers to something finds it.
//! May fail with: [`ObjectError`].

use super::{
    ObjectError,
    btf::TypeId,
    code::{self, Function},
    elf::{self, Elf},
    ext::{Ext, Record, Table},
    types::Types,
};

/// An object taken apart.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// Sections and symbols.
    pub elf: Elf<'a>,
    /// Functions, by section and offset.
    pub functions: Vec<Function>,
    /// Its types, if it has BTF.
    pub types: Option<Types<'a>>,
    /// Records of `.BTF.ext`; empty without.
    pub ext: Ext<'a>,
}

impl<'a> Parts<'a> {
    /// Takes a file apart.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ObjectError> {
        let elf = elf::read(bytes)?;
        let functions = code::read(&elf)?;
        let types = elf.data(".BTF").map(Types::parse).transpose()?;
        let ext = match (&types, elf.data(".BTF.ext")) {
            (Some(types), Some(section)) => {
                let ext = Ext::parse(section)?;
                ext.check(&elf, types)?;
                ext
            }
            _ => Ext::default(),
        };
        Ok(Self { elf, functions, types, ext })
    }

    /// Records of `table` that lie in `function`.
    pub fn records<'b>(
        &self,
        table: &'b Table<'a>,
        function: &Function,
    ) -> impl Iterator<Item = Record<'a>> + use<'a, 'b> {
        let (start, end) = (function.offset, function.offset + function.size);
        let section = self.elf.sections[function.section].name;
        let name = |offset: u32| self.types.as_ref().is_some_and(|types| types.string(offset) == section);
        let sections: Vec<_> = table.sections.iter().filter(|records| name(records.section)).collect();
        sections
            .into_iter()
            .flat_map(|records| records.records.iter().copied())
            .filter(move |record| (start..end).contains(&u64::from(record.offset())))
    }

    /// BTF type of a function, by its record.
    pub fn function_type(&self, function: &Function) -> Option<TypeId> {
        let mut records = self.records(&self.ext.functions, function);
        records.find(|record| u64::from(record.offset()) == function.offset).map(|record| record.type_id())
    }
}
