//! The arguments of a call on their way to the operator. One of the modules with unsafe code.

use flambeau::schema::Arg;
use std::mem::MaybeUninit;

/// As many parameters as all but the longest declarations have.
const FEW: usize = 16;

/// Arguments in the order of the parameters. They are written straight to their places and read there: a `SmallVec`
/// overlays its pointer with the first of them, so that to find it, processors wait for what was just written in pieces.
pub struct Args<'py> {
    few: [MaybeUninit<Arg<'py>>; FEW],
    /// How many of `few` are initialised.
    len: usize,
    /// All of them, where they are more.
    many: Vec<Arg<'py>>,
}

impl Default for Args<'_> {
    #[inline]
    fn default() -> Self {
        Args { few: [const { MaybeUninit::uninit() }; FEW], len: 0, many: Vec::new() }
    }
}

impl<'py> Args<'py> {
    /// Appends an argument.
    #[inline(always)]
    pub fn put(&mut self, arg: Arg<'py>) {
        if self.len < FEW && self.many.is_empty() {
            self.few[self.len].write(arg);
            self.len += 1;
        } else {
            self.put_more(arg);
        }
    }

    #[cold]
    fn put_more(&mut self, arg: Arg<'py>) {
        let n = std::mem::take(&mut self.len);
        for place in &self.few[..n] {
            // SAFETY: initialised, and no longer counted among those that are.
            self.many.push(unsafe { place.assume_init_read() });
        }
        self.many.push(arg);
    }

    #[inline]
    pub fn as_slice(&self) -> &[Arg<'py>] {
        if !self.many.is_empty() {
            return &self.many;
        }
        // SAFETY: so many are initialised.
        unsafe { std::slice::from_raw_parts(self.few.as_ptr().cast(), self.len) }
    }

    #[inline]
    fn as_mut_slice(&mut self) -> &mut [Arg<'py>] {
        if !self.many.is_empty() {
            return &mut self.many;
        }
        // SAFETY: so many are initialised.
        unsafe { std::slice::from_raw_parts_mut(self.few.as_mut_ptr().cast(), self.len) }
    }

    #[inline]
    pub fn last_mut(&mut self) -> Option<&mut Arg<'py>> {
        self.as_mut_slice().last_mut()
    }

    /// Drops the last one.
    pub fn pop(&mut self) {
        if self.many.pop().is_some() {
            return;
        }
        if let Some(last) = self.len.checked_sub(1) {
            self.len = last;
            // SAFETY: initialised, and no longer counted among those that are.
            unsafe { self.few[last].assume_init_drop() };
        }
    }

    #[inline]
    pub fn clear(&mut self) {
        let n = std::mem::take(&mut self.len);
        for place in &mut self.few[..n] {
            // SAFETY: initialised, and no longer counted among those that are.
            unsafe { place.assume_init_drop() };
        }
        self.many.clear();
    }
}

impl Drop for Args<'_> {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}
