r"""What each LaTeX command stands for in plain text: data for math_latex.py.

Facts about LaTeX and Unicode, in the reading of pylatexenc 2.10. Only what can occur in an answer.
"""

from __future__ import annotations

from collections.abc import Mapping


def _words(text: str) -> list[str]:
    return text.split()


_PAIRS = _words(r"""
alpha α beta β gamma γ delta δ epsilon ϵ zeta ζ eta η theta θ iota ι kappa κ lambda λ mu μ nu ν xi ξ
omicron ο pi π rho ρ sigma σ tau τ upsilon υ phi ϕ chi χ psi ψ omega ω
Alpha Α Beta Β Gamma Γ Delta Δ Epsilon Ε Zeta Ζ Eta Η Theta Θ Iota Ι Kappa Κ Lambda Λ Mu Μ Nu Ν Xi Ξ
Omicron Ο Pi Π Rho Ρ Sigma Σ Tau Τ Upsilon Υ Phi Φ Chi Χ Psi Ψ Omega Ω
varepsilon ε vartheta ϑ varpi ϖ varrho ϱ varsigma ς varphi φ varkappa ϰ hbar ħ hslash ℏ ell ℓ wp ℘
aleph ℵ beth ℶ i ı j ȷ o ø O Ø l ł L Ł ae æ AE Æ oe œ OE Œ aa å AA Å ss ß th þ TH Þ dh ð DH Ð eth ƪ mho ℧
forall ∀ exists ∃ nexists ∄ partial ∂ nabla ∇ emptyset ∅ varnothing ∅ complement ∁ infty ∞
in ∈ notin ∉ ni ∋ setminus ∖ smallsetminus ∖ cup ∪ cap ∩ Cup ⋓ Cap ⋒ bigcup ⋃ bigcap ⋂ uplus ⊎
subset ⊂ supset ⊃ subseteq ⊆ supseteq ⊇ subsetneq ⊊ supsetneq ⊋ nsubseteq ⊈ nsupseteq ⊉
wedge ∧ vee ∨ bigwedge ⋀ bigvee ⋁ lnot ¬ therefore ∴ because ∵ top ⊤ perp ⊥ vdash ⊢ dashv ⊣
sum ∑ prod ∏ coprod ∐ int ∫ iint ∬ iiint ∭ oint ∮ surd √
cdot · times × div ÷ pm ± mp ∓ ast ∗ star ⋆ circ ∘ bullet ∙ oplus ⊕ ominus ⊖ otimes ⊗ oslash ⊘ odot ⊙
bigoplus ⊕ bigotimes ⊗ diamond ♢ lozenge ◊ square □ bigcirc ◯ bigtriangleup △ triangleright ▹
triangleleft ◃ triangledown ▿ angle ∠ measuredangle ∡ rightangle ∟ parallel ∥ nparallel ∦
sim ∼ simeq ≃ approx ≈ cong ≅ equiv ≡ neq ≠ propto ∝ asymp ≍ doteq ≐ triangleq ≜ bowtie ⋈
le ≤ leq ≤ ge ≥ geq ≥ leqslant ⩽ geqslant ⩾ leqq ≦ geqq ≧ ll ≪ gg ≫ nless ≮ ngtr ≯ nleq ≰ ngeq ≱
lesssim ≲ gtrsim ≳ prec ≺ succ ≻ preceq ≼ succeq ≽ mid | nmid ∤ vert | lvert | rvert |
Vert ‖ lVert ‖ rVert ‖ langle ⟨ rangle ⟩ lceil ⌈ rceil ⌉ lfloor ⌊ rfloor ⌋ lbrace { rbrace }
to → rightarrow → leftarrow ← uparrow ↑ downarrow ↓ leftrightarrow ↔ mapsto ↦ longrightarrow ⟶
longleftarrow ⟵ Rightarrow ⇒ Leftarrow ⇐ Leftrightarrow ⇔ Uparrow ⇑ Downarrow ⇓ Longrightarrow ⟹
Longleftarrow ⟸ Longleftrightarrow ⟺ longmapsto ⟼ rightleftharpoons ⇌ hookrightarrow ↪ nearrow ↗
ldots … cdots ⋯ ddots ⋱ vdots ⋮ dots … dotsc … dotsb … dotsm … dotsi … dotso … prime '
dag † dagger † flat ♭ natural ♮ sharp ♯ backslash \ id 𝕀 Ident 𝕀
textasciicircum ˆ textasciitilde ~ textbackslash \ textdegree ° textpm ± texttimes × textdiv ÷
texteuro € textsterling £ textcent ¢ textyen ¥ textonehalf ½ textonequarter ¼ textthreequarters ¾
textperiodcentered ˙ textendash – textemdash — textmu µ textsection §
cos cos sin sin tan tan arccos arccos arcsin arcsin arctan arctan cosh cosh sinh sinh tanh tanh
arccosh arccosh arcsinh arcsinh arctanh arctanh ln ln log log exp exp max max min min sup sup inf inf
lim lim & & $ $ { { } } # # _ _
""")

#: Commands that stand for a text whatever follows.
SYMBOLS: Mapping[str, str] = {
    **dict(zip(_PAIRS[::2], _PAIRS[1::2], strict=True)),
    **dict.fromkeys((",", ";", ":", " "), " "),
    "enskip": "\u2002",
    "quad": "  ",
    "qquad": "    ",
    "!": "",
    "-": "\u00ad",
    "\\": "\n",
    "vspace": "\n",
    "limsup": "lim sup",
    "liminf": "lim inf",
}

_OVER = _words("""
overline underline widehat widetilde overleftarrow overrightarrow overleftrightarrow underleftarrow
underrightarrow underleftrightarrow overbrace underbrace
""")
_CONTENT = _words("text textrm textit textbf textsc textsl emph mathrm")
_DROPPED = _words("mbox textmd textsf texttt textup label ensuremath")

#: What a command makes of its arguments.
TEMPLATES: Mapping[str, str] = {
    **dict.fromkeys(_OVER, "{}"),
    **dict.fromkeys(_CONTENT, "{0}"),
    "frac": "{}/{}",
    "nicefrac": "{}/{}",
    "sqrt": "√({1})",
    "textcolor": "{2}",
    "colorbox": "{2}",
    "ket": "|{}⟩",
    "bra": "⟨{}|",
    "braket": "⟨{}|{}⟩",
}

#: Combining signs by the command that puts them over a letter.
ACCENTS: Mapping[str, str] = {
    "'": "\u0301",
    "`": "\u0300",
    '"': "\u0308",
    "^": "\u0302",
    "~": "\u0303",
    "=": "\u0304",
    ".": "\u0307",
    "c": "\u0327",
    "H": "\u030b",
    "k": "\u0328",
    "b": "\u0331",
    "d": "\u0323",
    "r": "\u030a",
    "u": "\u0306",
    "v": "\u030c",
    "vec": "\u20d7",
    "dot": "\u0307",
    "hat": "\u0302",
    "check": "\u030c",
    "breve": "\u0306",
    "acute": "\u0301",
    "grave": "\u0300",
    "tilde": "\u0303",
    "bar": "\u0305",
    "ddot": "\u0308",
    "not": "\u0338",
}

_CAPITAL = {
    "mathbf": 0x1D400,
    "mathit": 0x1D434,
    "mathcal": 0x1D49C,
    "mathscr": 0x1D49C,
    "mathfrak": 0x1D504,
    "mathbb": 0x1D538,
    "mathsf": 0x1D5A0,
    "mathtt": 0x1D670,
}
#: Letters that Unicode had before it had the mathematical alphabets.
_EARLIER = {
    "mathit": ("h", "ℎ"),
    "mathcal": ("BEFHILMRego", "ℬℰℱℋℐℒℳℛℯℊℴ"),
    "mathscr": ("BEFHILMRego", "ℬℰℱℋℐℒℳℛℯℊℴ"),
    "mathfrak": ("CHIRZ", "ℭℌℑℜℨ"),
    "mathbb": ("CHNPQRZ", "ℂℍℕℙℚℝℤ"),
}


def _alphabet(name: str) -> dict[int, str]:
    start = _CAPITAL[name]
    letters = {ord("A") + n: chr(start + n) for n in range(26)}
    letters |= {ord("a") + n: chr(start + 26 + n) for n in range(26)}
    plain, styled = _EARLIER.get(name, ("", ""))
    return letters | {ord(a): b for a, b in zip(plain, styled, strict=True)}


#: Alphabets: tables for str.translate.
STYLES: Mapping[str, Mapping[int, str]] = {name: _alphabet(name) for name in _CAPITAL}

#: Kinds of arguments by command: `{` needed, `[` optional, `|` optional with no space before it, `*` a star.
ARGUMENTS: Mapping[str, str] = {
    **dict.fromkeys((*_OVER, *_CONTENT, *_DROPPED, *STYLES, *ACCENTS, "ket", "bra"), "{"),
    **dict.fromkeys(_words("sqrt hphantom vphantom xleftarrow xrightarrow color"), "[{"),
    **dict.fromkeys(("textcolor", "colorbox"), "[{{"),
    **dict.fromkeys(("frac", "nicefrac", "braket"), "{{"),
    **dict.fromkeys(("hspace", "vspace"), "*{"),
    "\\": "*|",
}

#: Environments shown as `[ a b; c d ]`.
MATRICES = frozenset(_words("array pmatrix bmatrix smallmatrix psmallmatrix bsmallmatrix"))
#: Environments that open maths.
MATHS_ENVIRONMENTS = frozenset(
    name + star for name in _words("equation eqnarray align multline gather") for star in ("", "*")
)
