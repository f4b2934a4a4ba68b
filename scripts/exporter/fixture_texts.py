"""The texts of the parity fixtures, each with the name that a failing test shows."""

import re

# Scripts that no fixture's vocabulary is trained on: every token of a WordPiece model is unknown.
UNKNOWN = {
    "unknown_runes": "ᚠᚢᚦ ᚨᚱᚲ ᚷᚹᚺ",
    "unknown_cuneiform": "\U00012000\U00012001 \U00012002",
}

ORDINARY = {
    "film_good": "This movie was absolutely wonderful, from the first scene to the last.",
    "film_bad": "I have rarely been so bored; the plot makes no sense at all.",
    "film_mixed": "Great music, poor acting, and an ending that I did not understand.",
    "service_bad": "Terrible service: we waited for an hour and the soup was cold.",
    "service_good": "The staff were friendly and helped us find a room at once.",
    "question": "Why does my order still say 'pending' after two weeks?",
    "negation": "It is not bad, but I would not call it good either.",
    "upper": "DO NOT BUY THIS PRODUCT",
    "title_case": "Elon Musk Is The CEO Of Tesla",
    "numbers": "On 3 March 2024 the price fell by 12.5 % to $1,999.99.",
    "punctuation_only": "?!... -- (;) ***",
    "contraction": "She's sure they'd've come if we'd asked, but it isn't certain.",
    "hyphens": "A state-of-the-art, well-thought-out, one-size-fits-all answer",
    "email": "Write to someone@example.com or see https://example.com/a?b=c&d=%20#e.",
    "path": r"C:\Users\me\file.txt and /usr/local/bin",
    "code": "if (a[i] != NULL && b < c) { return x->y; } // why?",
    "json": '{"key": ["value", 1, null]}',
    "german": "Die Straße ist schön, aber die Fußgänger müssen übermäßig lange warten.",
    "french": "L'été dernier, nous avons mangé des crêpes à Orléans.",
    "turkish": "İstanbul'da ışık, Iğdır'da ılık",
    "vietnamese": "Tiếng Việt có nhiều dấu thanh.",
    "russian": "Москва слезам не верит.",
    "greek": "Καλημέρα, ΟΔΟΣ και οδός",
}

AWKWARD = {
    "empty": "",
    "one_space": " ",
    "blank": " \t\n\r\n  ",
    "no_break_space": "\u00a0\u2003\u3000",
    "one_letter": "a",
    "one_full_stop": ".",
    "one_emoji": "\U0001f642",
    "leading_spaces": "   three spaces before",
    "trailing_spaces": "three spaces after   ",
    "double_spaces": "two  spaces   and  three",
    "lines": "first line\nsecond line\r\nthird\tcolumn",
    "emoji_first": "\U0001f600 Anna lives in Paris \U0001f1eb\U0001f1f7",
    "emoji_zwj": "family: \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 here",
    "emoji_skin_and_variation": "\U0001f44d\U0001f3fd and \u2764\ufe0f and \u2764",
    "astral_letters": "\U0001d4d7\U0001d4ee\U0001d4f5\U0001d4f5\U0001d4f8 math letters",
    "hebrew": "שלום עולם, מה שלומך היום?",
    "arabic": "مرحبا بالعالم، كيف حالك؟",
    "mixed_direction": "The word שלום means \u200fpeace\u200e (سلام).",
    "bidi_override": "\u202eright to left\u202c and back",
    "chinese": "我喜欢这部电影,非常好看。",
    "japanese": "これは素晴らしい映画です。カタカナ",
    "korean": "이 영화는 정말 재미있었어요.",
    "thai": "ภาพยนตร์เรื่องนี้ดีมาก",
    "devanagari": "यह फ़िल्म बहुत अच्छी है।",
    "combining_marks": "e\u0301 a\u0308 n\u0303 Z\u0351\u0349a\u0334\u035dl\u0321\u0336g\u0328o",
    "precomposed": "é ä ñ",
    "ligatures_and_width": "\ufb01ne \uff26\uff35\uff2c\uff2c \u2460\u00bd\u2122",
    "nul": "before\u0000after",
    "controls": "a\u0001b\u0007c\u001bd\u007fe\u0085f",
    "zero_width": "zero\u200bwidth\u2060joi\u200cner\ufeff",
    "replacement_character": "a \ufffd b \ufffd\ufffd",
    "private_use": "\ue000\uf8ff \U000f0000",
    "noncharacter": "\ufffe \uffff \U0010ffff",
    "high_surrogate": "broken \ud83d half",
    "low_surrogate": "\ude00 broken first",
    "swapped_surrogates": "x\ude00\ud83dy",
    "html": "<p>Hello, <b>world</b>!</p><br/>&nbsp;&amp;<!-- none -->",
    "special_tokens_bert": "[SEP] [MASK] [CLS] [PAD] [UNK]",
    "special_tokens_roberta": "</s> <mask> <s> <pad> <unk>",
    "special_tokens_inside": "one[SEP]two</s>three<mask>four [sep] five",
    "word_pieces": "##ing ##s Ġword ▁word",
    "quotes": "\u201ccurly\u201d \u2018single\u2019 \u00abguillemets\u00bb `tick`",
    "long_word": "a" * 300,
    "long_word_mixed": "Donaudampfschifffahrtsgesellschaft" * 8,
    "repeated_emoji": "\U0001f602" * 100,
    "exactly_full": " ".join(["a"] * 62),
    "one_too_many": " ".join(["a"] * 63),
    "long_sentences": "The film was long and I slept. " * 40,
    "words_2000": " ".join(f"word{index % 17} and more" for index in range(667))[:-5],
}

PAIRS = {
    "pair": ("A man is playing a guitar.", "Someone makes music."),
    "pair_same": ("the same text", "the same text"),
    "pair_empty_first": ("", "only the second"),
    "pair_empty_second": ("only the first", ""),
    "pair_empty_both": ("", ""),
    "pair_long_first": ("The film was long and I slept. " * 40, "Was it good?"),
    "pair_long_second": ("Was it good?", "The film was long and I slept. " * 40),
    "pair_long_both": ("one two three four " * 40, "five six seven " * 50),
    "pair_emoji": ("\U0001f600 smile", "\U0001f622 tears"),
    "pair_directions": ("שלום עולם", "The world says مرحبا"),
    "pair_special_tokens": ("[SEP] </s>", "</s> [CLS]"),
    "pair_surrogate": ("half \ud83d", "\ude00 half"),
}

TEXTS = {**ORDINARY, **AWKWARD, **UNKNOWN}


def readable(text: str) -> str:
    """The text with each lone surrogate replaced by U+FFFD, which is what a model is given."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
