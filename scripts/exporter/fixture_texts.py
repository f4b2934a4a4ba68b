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

# Names behind all that shifts offsets.
ENTITIES = {
    "names": "Elon Musk is the CEO of Tesla, and Anna lives in Paris.",
    "names_commas": "Anna,Bob,Carla and Dr. D'Angelo-Smith(Orleans) met at 9:30.",
    "names_emoji": "\U0001f600 Anna \U0001f602\U0001f602 in \U0001f1eb\U0001f1f7 Paris \U0001f642.",
    "names_astral": "\U0001d4d7\U0001d4ee\U0001d4f5 said Anna to \U00010348 Bob in Paris",
    "names_zwj": "\U0001f468\u200d\U0001f469\u200d\U0001f467 Anna\u200d and Bob\u200b in Paris",
    "names_combining": "Zoe\u0308 and Rene\u0301 met A\u030angstro\u0308m in Ko\u0308ln",
    "names_precomposed": "Zoë and René met Ångström in Köln",
    "names_surrogates": "\ud83d Anna \ude00 lives\ud83din Paris",
    "names_hebrew": "אלון מאסק \u200fTesla\u200e שלום Anna",
    "names_arabic": "التقى Anna و Bob في مدينة Paris سلام",
    "names_chinese": "安娜住在巴黎。Anna住在Paris。",
    "names_japanese": "アンナはParisに住んでいます。",
    "names_controls": "An\u0000na lives\u0007 in\u00a0Pa\u00adris\ufeff",
    "names_blanks": "  Anna \t lives\n\nin   Paris  ",
    "names_unknown": "ᚠᚢᚦ Anna ᚨᚱᚲᚷ lives in \U00012000\U00012001 Paris",
    "names_special": "[CLS] Anna </s> lives [SEP] in <s> Paris [UNK] <unk> [MASK]",
    "names_pieces": "##Anna ##s ▁lives Ġin Paris",
    "names_contractions": "Anna's and Bob don't; they're 'fine' n't 's in Paris , . ! ?",
    "names_case": "ANNA lives in paris, İSTANBUL and straße ŞTIRBEY ǅ",
    "names_ligatures": "\ufb01rst \uff21\uff4e\uff4e\uff41 in \u2167 \u00bd Par\u2122is",
    "names_one_word": "Anna",
    "names_repeated": "Anna Anna Anna Anna Bob Bob Bob Bob Paris Paris",
}
LONG_ENTITIES = {
    "long_names": "Anna met Bob in Paris, and Carla left Orleans. " * 12,
    "long_emoji": "\U0001f600 Anna lives in \U0001f1eb\U0001f1f7 Paris; " * 16,
    "long_one_word": "Donaudampfschifffahrtsgesellschaft" * 8,
    "long_chinese": "安娜住在巴黎,我喜欢这部电影。" * 14,
    "long_hebrew": "שלום עולם, מה שלומך היום? " * 14,
    "long_combining": "Zoe\u0308 met A\u030angstro\u0308m. " * 14,
    "not_so_long": "Anna lives in Paris.",
    "long_unknown": "ᚠᚢᚦ ᚨᚱᚲ Anna " * 24,
}
# Not asked for entities: they are cut to one window, and long texts have cases of their own.
TOO_LONG = ("long_sentences", "words_2000", "repeated_emoji", "long_word_mixed", "one_too_many")
ENTITY_TEXTS = {
    **ENTITIES,
    **{name: text for name, text in TEXTS.items() if name not in TOO_LONG},
}

_STORY = (
    "Anna moved to Paris in 1999. She met Bob, a baker from Orleans, who made bread for the whole "
    "street. In the winter the oven broke, and the people had to wait for an hour. "
)
_WHO = "Who lives in Paris?"
QUESTIONS = {
    "tesla": ("Who is CEO of Tesla?", "Elon Musk is the CEO of Tesla."),
    "soup": ("What was cold?", "We waited for an hour and the soup was cold."),
    "price": ("How much?", "On 3 March 2024 the price fell by 12.5 % to $1,999.99."),
    "one_word": (_WHO, "Anna"),
    "one_letter": ("a", "a"),
    "two_words": (_WHO, "Anna does"),
    "punctuation": ("What?", "?!... -- (;) ***"),
    "question_in_context": (_WHO, "Who lives in Paris? Anna lives in Paris."),
    "repeated_words": (_WHO, "Anna anna ANNA Anna anna ANNA Anna"),
    "repeated_sentence": (_WHO, "Anna lives in Paris. " * 3),
    "email": ("Where?", "Write to someone@example.com or see https://example.com/a?b=c#e."),
    "hyphens": ("Which answer?", "A state-of-the-art, well-thought-out answer"),
    "contractions": ("Who came?", "They'd've come if Anna hadn't asked; it isn't certain."),
    "emoji_before": (
        _WHO,
        "\U0001f600\U0001f602 Anna \U0001f1eb\U0001f1f7 lives in Paris \U0001f642",
    ),
    "emoji_inside": (_WHO, "Anna\U0001f600lives\U0001f602in\U0001f642Paris"),
    "emoji_question": ("\U0001f914 who \U0001f914?", "\U0001f600 Anna lives in Paris."),
    "emoji_only": ("\U0001f914", "\U0001f600\U0001f602\U0001f642"),
    "zwj": (_WHO, "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 Anna\u200d in Paris"),
    "astral": (_WHO, "\U0001d4d0\U0001d4f7\U0001d4f7\U0001d4ea and Bob \U00010348 live in Paris"),
    "combining": (_WHO, "Zoe\u0308 and Rene\u0301 met A\u030angstro\u0308m in Ko\u0308ln"),
    "precomposed": (_WHO, "Zoë and René met Ångström in Köln"),
    "ligatures": (_WHO, "The \ufb01rst \uff21\uff4e\uff4e\uff41 lives in Paris \u00bd"),
    "surrogates": (_WHO, "\ud83d Anna \ude00 lives\ud83din Paris"),
    "surrogate_question": ("Who \ud83d lives?", "Anna lives in Paris."),
    "hebrew": ("מי גר בפריז?", "שלום עולם, Anna מה שלומך היום?"),
    "arabic": ("من يعيش؟", "مرحبا بالعالم، Anna كيف حالك؟"),
    "mixed_direction": ("What means peace?", "The word שלום means \u200fpeace\u200e (سلام)."),
    "chinese": ("谁住在巴黎?", "我喜欢这部电影,安娜住在巴黎,非常好看。"),
    "chinese_spaces": ("谁?", "安娜 住在 巴黎 Anna"),
    "japanese": ("誰ですか", "これは素晴らしい映画です。アンナはカタカナ"),
    "korean": ("누구?", "이 영화는 정말 재미있었어요. 안나"),
    "thai": ("ใคร", "ภาพยนตร์เรื่องนี้ดีมาก"),
    "unknown": ("ᚠᚢᚦ?", "ᚨᚱᚲ ᚷᚹᚺ \U00012000\U00012001 ᚠ"),
    "unknown_around": (_WHO, "ᚠᚢᚦ Anna ᚨᚱᚲ in \U00012000 Paris"),
    "blank_context": (_WHO, " \t\n "),
    "blank_question": ("  ", "Anna lives in Paris."),
    "blanks": (_WHO, "  Anna \t lives\n\nin   Paris  "),
    "controls": (_WHO, "An\u0000na\u0007 lives in\u00a0Pa\u00adris\ufeff"),
    "special_tokens": (_WHO, "[CLS] Anna </s> lives [SEP] in <s> Paris [MASK]"),
    "special_question": ("[SEP] who </s> <s> [CLS]?", "Anna lives in Paris."),
    "pieces": (_WHO, "##Anna ##s ▁lives Ġin Paris"),
    "html": ("What is bold?", "<p>Hello, <b>world</b>!</p><br/>&nbsp;"),
    "long": ("Who is the baker?", _STORY * 3),
    "longer": ("What broke in the winter?", _STORY * 8),
    "long_same": (_WHO, "Anna lives in Paris. " * 40),
    "long_emoji": (_WHO, "\U0001f600 Anna lives in \U0001f1eb\U0001f1f7 Paris; " * 16),
    "long_chinese": ("谁住在巴黎?", "安娜住在巴黎,我喜欢这部电影。" * 10),
    "long_word": ("What?", "Donaudampfschifffahrtsgesellschaft" * 6),
    "long_combining": (_WHO, "Zoe\u0308 met A\u030angstro\u0308m. " * 14),
    "long_unknown": (_WHO, "ᚠᚢᚦ ᚨᚱᚲ Anna " * 24),
    "long_question": ("Who lives in the old house by the river " * 4, "Anna lives in Paris."),
}

PROMPTS = {
    "once": "Once upon a time",
    "film": "The film was long and I slept.",
    "one_letter": "a",
    "empty": "",
    "trailing_space": "Anna lives in ",
    "russian": "Москва слезам",
    "japanese": "日本語 カタカナ",
    "emoji": "I am \U0001f642 \U0001f468\u200d\U0001f469",
    "lines": "first line\nsecond line\n\n",
    "punctuation": "Well , it is n't , is it ? '",
    "repeated": "one two one two one two one",
    "long": "We waited for an hour and the soup was cold.",
}


def readable(text: str) -> str:
    """The text with each lone surrogate replaced by U+FFFD, which is what a model is given."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
