//! Classic BPF programs as data: proven before use, run in user space where no kernel does it.
//!
//! Source: the classic BPF machine of the kernel's `Documentation/networking/filter.rst` and
//! `linux/bpf_common.h`; the compiler of filter texts is libpcap (`otic.sensor.filters`).
//!
//! One text means the same on a live interface and over a file. The kernel takes a frame's outer
//! VLAN tag away before its filters look, so a program that does not ask for tags looks at frames
//! without their outer tag, in files too; a program that does ask ([`sees_tags`]) never goes to
//! the kernel but runs here, over frames whose tag is back in place.

use thiserror::Error;

use crate::LinkType;

/// Most instructions of a program; the kernel's own limit (`BPF_MAXINSNS`).
pub const LONGEST: usize = 4096;
/// Words of scratch memory (`BPF_MEMWORDS`).
const MEMORY: usize = 16;
/// Loads from here up are the kernel's own extensions (`SKF_AD_OFF`, `SKF_NET_OFF`,
/// `SKF_LL_OFF`), which only its live frames have.
const EXTENSIONS: u32 = 0xfff0_0000;
/// Ethertypes of a VLAN tag that the kernel takes away: 802.1Q and 802.1ad.
const TAKEN_TAGS: [u16; 2] = [0x8100, 0x88a8];
/// Ethertypes that a program compares with when it asks for VLAN tags.
const TAGS: [u32; 3] = [0x8100, 0x88a8, 0x9100];

/// One instruction, laid out as the kernel's `sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterInstruction {
    /// What is done.
    pub code: u16,
    /// Instructions to skip when a comparison holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// Why a program is refused; instructions are numbered from 0.
#[derive(Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant says itself")]
pub enum FilterError {
    #[error("the filter has no instruction")]
    Empty,
    #[error("the filter has {0} instructions, more than {LONGEST}")]
    TooLong(usize),
    #[error("the filter's instruction {0} has the unknown code {1:#06x}")]
    UnknownCode(usize, u16),
    #[error("the filter's instruction {0} jumps behind the end")]
    Jump(usize),
    #[error("the filter's instruction {0} names the memory word {1}, there are {MEMORY}")]
    Memory(usize, u32),
    #[error("the filter's instruction {0} divides by zero or shifts by 32 bits or more")]
    Operand(usize),
    #[error("the filter's instruction {0} loads from {1:#x}, which only the kernel knows")]
    Extension(usize, u32),
    #[error("the filter does not end with a return")]
    NoReturn,
}

// Instruction codes: class, size or operation, mode or source in one number.
const LD_W_ABS: u16 = 0x20;
const LD_H_ABS: u16 = 0x28;
const LD_B_ABS: u16 = 0x30;
const LD_W_IND: u16 = 0x40;
const LD_H_IND: u16 = 0x48;
const LD_B_IND: u16 = 0x50;
const LD_W_LEN: u16 = 0x80;
const LD_IMM: u16 = 0x00;
const LD_MEM: u16 = 0x60;
const LDX_IMM: u16 = 0x01;
const LDX_MEM: u16 = 0x61;
const LDX_W_LEN: u16 = 0x81;
const LDX_B_MSH: u16 = 0xb1;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const ALU: u16 = 0x04;
const ADD: u16 = 0x00;
const SUB: u16 = 0x10;
const MUL: u16 = 0x20;
const DIV: u16 = 0x30;
const OR: u16 = 0x40;
const AND: u16 = 0x50;
const LSH: u16 = 0x60;
const RSH: u16 = 0x70;
const NEG: u16 = 0x80;
const MOD: u16 = 0x90;
const XOR: u16 = 0xa0;
/// The operand is X instead of the constant.
const X: u16 = 0x08;
const JMP: u16 = 0x05;
const JA: u16 = 0x05;
const JEQ: u16 = 0x10;
const JGT: u16 = 0x20;
const JGE: u16 = 0x30;
const JSET: u16 = 0x40;
const RET_K: u16 = 0x06;
const RET_A: u16 = 0x16;
const TAX: u16 = 0x07;
const TXA: u16 = 0x87;
const CLASS: u16 = 0x07;

impl FilterInstruction {
    /// An instruction without jumps.
    #[must_use]
    pub const fn new(code: u16, k: u32) -> Self {
        Self { code, jt: 0, jf: 0, k }
    }

    /// Ends the program: this many bytes of the frame are wanted, 0 refuses it.
    #[must_use]
    pub const fn returning(bytes: u32) -> Self {
        Self::new(RET_K, bytes)
    }

    const fn operation(self) -> u16 {
        self.code & !(CLASS | X)
    }
}

/// Proves that a program ends, within its own bounds, whatever the frame.
///
/// # Errors
/// [`FilterError`] names the first instruction that does not fit.
pub fn verify(program: &[FilterInstruction]) -> Result<(), FilterError> {
    if program.is_empty() {
        return Err(FilterError::Empty);
    }
    if program.len() > LONGEST {
        return Err(FilterError::TooLong(program.len()));
    }
    for (at, step) in program.iter().enumerate() {
        let inside = |distance: u32| (distance as usize) < program.len() - at - 1;
        match step.code {
            LD_W_ABS | LD_H_ABS | LD_B_ABS => {
                if step.k >= EXTENSIONS {
                    return Err(FilterError::Extension(at, step.k));
                }
            }
            LD_W_IND | LD_H_IND | LD_B_IND | LD_W_LEN | LD_IMM | LDX_IMM | LDX_W_LEN
            | LDX_B_MSH | RET_K | RET_A | TAX | TXA => {}
            LD_MEM | LDX_MEM | ST | STX => {
                if step.k as usize >= MEMORY {
                    return Err(FilterError::Memory(at, step.k));
                }
            }
            JA => {
                if !inside(step.k) {
                    return Err(FilterError::Jump(at));
                }
            }
            code if code & CLASS == JMP => {
                if !matches!(step.operation(), JEQ | JGT | JGE | JSET) {
                    return Err(FilterError::UnknownCode(at, code));
                }
                if !inside(step.jt.into()) || !inside(step.jf.into()) {
                    return Err(FilterError::Jump(at));
                }
            }
            code if code & CLASS == ALU => {
                let constant = code & X == 0;
                match step.operation() {
                    ADD | SUB | MUL | OR | AND | XOR => {}
                    NEG if constant => {}
                    DIV | MOD if !constant || step.k != 0 => {}
                    LSH | RSH if !constant || step.k < 32 => {}
                    DIV | MOD | LSH | RSH => return Err(FilterError::Operand(at)),
                    _ => return Err(FilterError::UnknownCode(at, code)),
                }
            }
            code => return Err(FilterError::UnknownCode(at, code)),
        }
    }
    match program.last() {
        Some(FilterInstruction { code: RET_K | RET_A, .. }) => Ok(()),
        _ => Err(FilterError::NoReturn),
    }
}

/// Whether a program asks for VLAN tags: it compares the frame's first ethertype with a tag's, as
/// `vlan` and `ether proto 0x8100` do.
///
/// A text that reaches behind a tag by bare offsets only (`ether[16:2]`) does not show here: it
/// looks at the frame without its outer tag.
#[must_use]
pub fn sees_tags(program: &[FilterInstruction]) -> bool {
    // For each instruction whether A may hold that ethertype when it is reached; jumps go forward
    // only, so one pass is enough.
    let mut holds = vec![false; program.len() + 1];
    for (at, step) in program.iter().enumerate() {
        let held = holds.get(at).copied().unwrap_or(false);
        let mut pass = |distance: u32, value: bool| {
            if let Some(next) = holds.get_mut((at + 1).saturating_add(distance as usize)) {
                *next |= value;
            }
        };
        match step.code {
            RET_K | RET_A => {}
            JA => pass(step.k, held),
            code if code & CLASS == JMP => {
                if held && code == JMP | JEQ && TAGS.contains(&step.k) {
                    return true;
                }
                pass(step.jt.into(), held);
                pass(step.jf.into(), held);
            }
            LD_H_ABS => pass(0, step.k == 12),
            // What is left leaves A alone.
            LDX_IMM | LDX_MEM | LDX_W_LEN | LDX_B_MSH | ST | STX | TAX => pass(0, held),
            _ => pass(0, false),
        }
    }
    false
}

/// The frame as a program sees it.
#[derive(Debug, Clone, Copy)]
struct View<'a> {
    bytes: &'a [u8],
    /// Bytes to leave out after the MAC addresses: an outer VLAN tag's 4, or none.
    tag: usize,
}

impl View<'_> {
    fn number<const N: usize>(&self, at: usize) -> Option<u32> {
        let mut number = 0;
        for place in at..at.checked_add(N)? {
            let place = if place < 12 { place } else { place.checked_add(self.tag)? };
            number = number << 8 | u32::from(*self.bytes.get(place)?);
        }
        Some(number)
    }
}

/// A proven program with the way it wants to see frames.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<FilterInstruction>,
    sees_tags: bool,
}

impl Program {
    /// Proves a program; none at all accepts every frame.
    ///
    /// # Errors
    /// [`FilterError`] as [`verify`].
    pub fn new(instructions: &[FilterInstruction]) -> Result<Self, FilterError> {
        if !instructions.is_empty() {
            verify(instructions)?;
        }
        Ok(Self { instructions: instructions.to_vec(), sees_tags: sees_tags(instructions) })
    }

    /// Whether it must see the frames' VLAN tags, see [`sees_tags`].
    #[must_use]
    pub const fn sees_tags(&self) -> bool {
        self.sees_tags
    }

    /// Its instructions; none accept every frame.
    #[must_use]
    pub fn instructions(&self) -> &[FilterInstruction] {
        &self.instructions
    }

    /// Whether it wants this frame, whose tags are all in place.
    #[must_use]
    pub fn accepts(&self, link_type: LinkType, bytes: &[u8], original_length: u32) -> bool {
        if self.instructions.is_empty() {
            return true;
        }
        let tag = match bytes.get(12..14).and_then(|tag| <[u8; 2]>::try_from(tag).ok()) {
            Some(tag)
                if link_type == LinkType::ETHERNET
                    && !self.sees_tags
                    && TAKEN_TAGS.contains(&u16::from_be_bytes(tag)) =>
            {
                4
            }
            _ => 0,
        };
        let length = original_length.saturating_sub(tag as u32);
        run(&self.instructions, View { bytes, tag }, length).unwrap_or(0) != 0
    }
}

/// How many bytes of the frame the program wants; none when it reads behind the frame's end or
/// divides by zero, which refuses the frame as in the kernel.
fn run(program: &[FilterInstruction], frame: View<'_>, length: u32) -> Option<u32> {
    let (mut a, mut x) = (0_u32, 0_u32);
    let mut memory = [0_u32; MEMORY];
    let mut at = 0;
    loop {
        let step = *program.get(at)?;
        at += 1;
        let k = step.k;
        let indirect = || x.checked_add(k).map(|place| place as usize);
        match step.code {
            LD_W_ABS => a = frame.number::<4>(k as usize)?,
            LD_H_ABS => a = frame.number::<2>(k as usize)?,
            LD_B_ABS => a = frame.number::<1>(k as usize)?,
            LD_W_IND => a = frame.number::<4>(indirect()?)?,
            LD_H_IND => a = frame.number::<2>(indirect()?)?,
            LD_B_IND => a = frame.number::<1>(indirect()?)?,
            LD_W_LEN => a = length,
            LD_IMM => a = k,
            LD_MEM => a = *memory.get(k as usize)?,
            LDX_IMM => x = k,
            LDX_MEM => x = *memory.get(k as usize)?,
            LDX_W_LEN => x = length,
            LDX_B_MSH => x = 4 * (frame.number::<1>(k as usize)? & 0x0f),
            ST => *memory.get_mut(k as usize)? = a,
            STX => *memory.get_mut(k as usize)? = x,
            RET_K => return Some(k),
            RET_A => return Some(a),
            TAX => x = a,
            TXA => a = x,
            JA => at += k as usize,
            code => {
                let operand = if code & X == 0 { k } else { x };
                if code & CLASS == JMP {
                    let holds = match step.operation() {
                        JEQ => a == operand,
                        JGT => a > operand,
                        JGE => a >= operand,
                        _ => a & operand != 0,
                    };
                    at += usize::from(if holds { step.jt } else { step.jf });
                } else {
                    a = match step.operation() {
                        ADD => a.wrapping_add(operand),
                        SUB => a.wrapping_sub(operand),
                        MUL => a.wrapping_mul(operand),
                        DIV => a.checked_div(operand)?,
                        MOD => a.checked_rem(operand)?,
                        OR => a | operand,
                        AND => a & operand,
                        XOR => a ^ operand,
                        LSH => a.wrapping_shl(operand),
                        RSH => a.wrapping_shr(operand),
                        _ => a.wrapping_neg(),
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn step(code: u16, jt: u8, jf: u8, k: u32) -> FilterInstruction {
        FilterInstruction { code, jt, jf, k }
    }

    /// `ether proto 0x0800`.
    const IPV4: [FilterInstruction; 4] = [
        step(LD_H_ABS, 0, 0, 12),
        step(JMP | JEQ, 0, 1, 0x0800),
        step(RET_K, 0, 0, 262_144),
        step(RET_K, 0, 0, 0),
    ];
    /// `vlan 7`, without the older tags.
    const VLAN_7: [FilterInstruction; 7] = [
        step(LD_H_ABS, 0, 0, 12),
        step(JMP | JEQ, 0, 4, 0x8100),
        step(LD_H_ABS, 0, 0, 14),
        step(ALU | AND, 0, 0, 0x0fff),
        step(JMP | JEQ, 0, 1, 7),
        step(RET_K, 0, 0, 262_144),
        step(RET_K, 0, 0, 0),
    ];

    fn frame(tag: Option<[u8; 4]>) -> Vec<u8> {
        let mut bytes = vec![2; 12];
        bytes.extend(tag.into_iter().flatten());
        bytes.extend([8, 0, 0x45, 0]);
        bytes
    }

    fn accepts(program: &[FilterInstruction], bytes: &[u8]) -> bool {
        let program = Program::new(program).unwrap();
        program.accepts(LinkType::ETHERNET, bytes, bytes.len() as u32)
    }

    #[test]
    fn a_filter_without_tags_looks_under_the_outer_tag() {
        assert!(accepts(&IPV4, &frame(None)));
        assert!(accepts(&IPV4, &frame(Some([0x81, 0, 0, 7]))));
        assert!(accepts(&IPV4, &frame(Some([0x88, 0xa8, 0, 7]))));
        assert!(!accepts(&IPV4, &frame(Some([0x91, 0, 0, 7]))));
    }

    #[test]
    fn a_filter_that_asks_for_tags_sees_them() {
        assert!(sees_tags(&VLAN_7) && !sees_tags(&IPV4));
        assert!(accepts(&VLAN_7, &frame(Some([0x81, 0, 0xe0, 7]))));
        assert!(!accepts(&VLAN_7, &frame(Some([0x81, 0, 0, 8]))));
        assert!(!accepts(&VLAN_7, &frame(None)));
    }

    /// What libpcap 1.10 makes of `vlan 7 and tcp port 502`.
    const VLAN_AND_PORT: [(u16, u8, u8, u32); 27] = [
        (0x28, 0, 0, 12),
        (0x15, 2, 0, 0x8100),
        (0x15, 1, 0, 0x88a8),
        (0x15, 0, 22, 0x9100),
        (0x28, 0, 0, 14),
        (0x54, 0, 0, 0xfff),
        (0x15, 0, 19, 7),
        (0x28, 0, 0, 16),
        (0x15, 0, 6, 0x86dd),
        (0x30, 0, 0, 24),
        (0x15, 0, 15, 6),
        (0x28, 0, 0, 58),
        (0x15, 12, 0, 502),
        (0x28, 0, 0, 60),
        (0x15, 10, 11, 502),
        (0x15, 0, 10, 0x800),
        (0x30, 0, 0, 27),
        (0x15, 0, 8, 6),
        (0x28, 0, 0, 24),
        (0x45, 6, 0, 0x1fff),
        (0xb1, 0, 0, 18),
        (0x48, 0, 0, 18),
        (0x15, 2, 0, 502),
        (0x48, 0, 0, 20),
        (0x15, 0, 1, 502),
        (0x06, 0, 0, 0x40000),
        (0x06, 0, 0, 0),
    ];

    #[test]
    fn a_compiled_text_is_proven_and_chooses() {
        let program = VLAN_AND_PORT.map(|(code, jt, jf, k)| step(code, jt, jf, k));
        let segment = |vlan: u8, port: u16| {
            let mut bytes = vec![2; 12];
            bytes.extend([0x81, 0, 0, vlan, 8, 0, 0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0]);
            bytes.extend([10, 0, 0, 1, 10, 0, 0, 2, 0x9c, 0x40]);
            bytes.extend(port.to_be_bytes());
            bytes.extend([0; 16]);
            bytes
        };
        assert!(sees_tags(&program));
        assert!(accepts(&program, &segment(7, 502)));
        assert!(!accepts(&program, &segment(7, 503)));
        assert!(!accepts(&program, &segment(8, 502)));
    }

    #[test]
    fn a_port_with_the_number_of_a_tag_asks_for_no_tag() {
        let port = [
            step(LD_H_ABS, 0, 0, 12),
            step(JMP | JEQ, 0, 3, 0x0800),
            step(LD_H_ABS, 0, 0, 36),
            step(JMP | JEQ, 0, 1, 0x8100),
            step(RET_K, 0, 0, 262_144),
            step(RET_K, 0, 0, 0),
        ];
        assert!(!sees_tags(&port));
        // Reached by a jump, the first ethertype is still there.
        let after_jump = [
            step(LD_H_ABS, 0, 0, 12),
            step(JMP | JEQ, 0, 1, 0x0800),
            step(RET_K, 0, 0, 262_144),
            step(JMP | JEQ, 0, 1, 0x88a8),
            step(RET_K, 0, 0, 262_144),
            step(RET_K, 0, 0, 0),
        ];
        assert!(sees_tags(&after_jump));
    }

    #[test]
    fn no_program_accepts_and_a_short_frame_is_refused() {
        assert!(accepts(&[], &[]));
        assert!(!accepts(&IPV4, &[2; 13]));
    }

    #[test]
    fn arithmetic_wraps_and_division_by_zero_refuses() {
        let ends = |steps: &[FilterInstruction]| {
            let mut program = steps.to_vec();
            program.push(step(RET_A, 0, 0, 0));
            verify(&program).unwrap();
            run(&program, View { bytes: &[0x45], tag: 0 }, 1500)
        };
        assert_eq!(Some(1500), ends(&[step(LD_W_LEN, 0, 0, 0)]));
        assert_eq!(Some(1), ends(&[step(LD_IMM, 0, 0, u32::MAX), step(ALU | ADD, 0, 0, 2)]));
        assert_eq!(Some(u32::MAX), ends(&[step(LD_IMM, 0, 0, 1), step(ALU | NEG, 0, 0, 0)]));
        assert_eq!(Some(20), ends(&[step(LDX_B_MSH, 0, 0, 0), step(TXA, 0, 0, 0)]));
        assert_eq!(None, ends(&[step(ALU | DIV | X, 0, 0, 0)]));
        assert_eq!(
            Some(9),
            ends(&[step(LD_IMM, 0, 0, 9), step(ST, 0, 0, 3), step(LD_MEM, 0, 0, 3)])
        );
    }

    #[test]
    fn what_is_not_a_program_is_refused_by_name() {
        let end = step(RET_K, 0, 0, 0);
        let refused = |program: &[FilterInstruction]| verify(program).unwrap_err();
        assert_eq!(FilterError::Empty, refused(&[]));
        assert_eq!(FilterError::TooLong(4097), refused(&[end; 4097]));
        assert_eq!(FilterError::NoReturn, refused(&[step(TAX, 0, 0, 0)]));
        assert_eq!(FilterError::UnknownCode(0, 0xffff), refused(&[step(0xffff, 0, 0, 0), end]));
        assert_eq!(FilterError::Jump(0), refused(&[step(JMP | JEQ, 1, 0, 0), end]));
        assert_eq!(FilterError::Jump(0), refused(&[step(JA, 0, 0, u32::MAX), end]));
        assert_eq!(FilterError::Memory(0, 16), refused(&[step(ST, 0, 0, 16), end]));
        assert_eq!(FilterError::Operand(0), refused(&[step(ALU | DIV, 0, 0, 0), end]));
        assert_eq!(FilterError::Operand(0), refused(&[step(ALU | LSH, 0, 0, 32), end]));
        let vlan_tag = 0xffff_f000 + 44;
        assert_eq!(
            FilterError::Extension(0, vlan_tag),
            refused(&[step(LD_W_ABS, 0, 0, vlan_tag), end])
        );
    }

    proptest! {
        #[test]
        fn whatever_is_proven_ends(
            steps in prop::collection::vec(
                (prop_oneof![0..0xb2_u16, any::<u16>()], 0..4_u8, 0..4_u8, prop_oneof![0..20_u32, any::<u32>()]),
                0..40
            ),
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut program: Vec<_> =
                steps.into_iter().map(|(code, jt, jf, k)| step(code, jt, jf, k)).collect();
            program.retain(|one| !matches!(verify(&[*one, step(RET_K, 0, 0, 0)]),
                Err(FilterError::UnknownCode(..) | FilterError::Memory(..))));
            program.push(step(RET_A, 0, 0, 0));
            if let Ok(program) = Program::new(&program) {
                let _ = program.accepts(LinkType::ETHERNET, &bytes, bytes.len() as u32);
            }
        }
    }
}
