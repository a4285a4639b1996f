//! Values that many topics share, kept once and counted.

use std::hash::Hash;

use hashbrown::HashMap;

/// Gives each distinct value a number for as long as somebody refers to it.
#[derive(Debug)]
pub(super) struct Interner<T> {
    numbers: HashMap<T, u32>,
    entries: Vec<Option<(T, u32)>>,
    free: Vec<u32>,
}

impl<T: Clone + Eq + Hash> Interner<T> {
    pub(super) fn new() -> Self {
        Interner {
            numbers: HashMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The value's number, with one reference more.
    pub(super) fn acquire(&mut self, value: &T) -> u32 {
        if let Some(&number) = self.numbers.get(value) {
            self.entry_mut(number).1 += 1;
            return number;
        }
        let entry = Some((value.clone(), 1));
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                number
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.numbers.insert(value.clone(), number);
        number
    }

    /// Gives one reference back; the value that nobody else referred to.
    pub(super) fn release(&mut self, number: u32) -> Option<T> {
        let entry = self.entry_mut(number);
        entry.1 -= 1;
        if entry.1 > 0 {
            return None;
        }
        let (value, _) = self.entries[number as usize].take()?;
        self.numbers.remove(&value);
        self.free.push(number);
        Some(value)
    }

    pub(super) fn get(&self, number: u32) -> &T {
        match &self.entries[number as usize] {
            Some((value, _)) => value,
            None => panic!("number {number} is not in use"),
        }
    }

    /// All values, with how many refer to each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&T, u32)> {
        let used = self.entries.iter().flatten();
        used.map(|(value, references)| (value, *references))
    }

    pub(super) fn find(&self, value: &T) -> Option<u32> {
        self.numbers.get(value).copied()
    }

    fn entry_mut(&mut self, number: u32) -> &mut (T, u32) {
        match &mut self.entries[number as usize] {
            Some(entry) => entry,
            None => panic!("number {number} is not in use"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_number_until_the_last_goes() {
        let mut interner = Interner::new();
        let a = interner.acquire(&"a");
        let b = interner.acquire(&"b");
        assert_eq!(interner.acquire(&"a"), a);
        assert_ne!(a, b);
        assert_eq!(interner.release(a), None);
        assert_eq!(interner.find(&"a"), Some(a));
        assert_eq!(interner.release(a), Some("a"));
        assert_eq!(interner.find(&"a"), None);
        assert_eq!(interner.acquire(&"c"), a, "numbers are used again");
        assert_eq!(interner.get(b), &"b");
    }
}
