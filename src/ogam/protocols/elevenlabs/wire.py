"""ElevenLabs's JSON and forms of speech made from text, as types. Each names its page.

Bodies may hold more than is named here, as the vendor's may; what is named and cannot be done
is refused in ``convert``. https://elevenlabs.io/docs/api-reference
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class VoiceSettings(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/api-reference/voices/settings/get.

    ``speed`` is the rate. All else is without effect: the engines here have no such settings.
    """

    stability: Share | None = None
    similarity_boost: Share | None = None
    style: Share | None = None
    use_speaker_boost: bool | None = None
    speed: float | None = None
    clone_strength: Share | None = None


class SpeechBody(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/api-reference/text-to-speech/convert.

    Without effect: ``seed`` (an engine that could vary is not asked to), the texts and requests
    before and after (each text is spoken by itself), ``use_pvc_as_ivc``. Refused where they ask
    for something: ``pronunciation_dictionary_locators``, ``audio_effects``,
    ``apply_text_normalization`` "off" and ``apply_language_text_normalization``.
    """

    text: str
    model_id: str | None = None
    language_code: str | None = None
    voice_settings: VoiceSettings | None = None
    pronunciation_dictionary_locators: list[Any] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=4294967295)] | None = None
    previous_text: str | None = None
    next_text: str | None = None
    previous_request_ids: list[str] | None = None
    next_request_ids: list[str] | None = None
    use_pvc_as_ivc: bool | None = None
    apply_text_normalization: Literal["auto", "on", "off"] | None = None
    apply_language_text_normalization: bool | None = None
    audio_effects: Any = None


class Alignment(msgspec.Struct, kw_only=True):
    """When each character is said, in seconds from the start of the speech."""

    characters: list[str]
    character_start_times_seconds: list[float]
    character_end_times_seconds: list[float]


class AudioWithTimestamps(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/api-reference/text-to-speech/convert-with-timestamps.

    The text is not normalised where its times are known, so both alignments are the same.
    """

    audio_base64: str
    alignment: Alignment | None = None
    normalized_alignment: Alignment | None = None


class GenerationConfig(msgspec.Struct, kw_only=True):
    """How many characters must wait before the first, second, ... piece is spoken unasked."""

    chunk_length_schedule: list[Annotated[int, msgspec.Meta(ge=50, le=500)]] | None = None


class InputMessage(msgspec.Struct, kw_only=True):
    """What a client of stream-input sends; an empty ``text`` ends it.

    https://elevenlabs.io/docs/api-reference/text-to-speech/v-1-text-to-speech-voice-id-stream-input
    """

    text: str | None = None
    try_trigger_generation: bool | None = None
    flush: bool | None = None
    voice_settings: VoiceSettings | None = None
    generation_config: GenerationConfig | None = None
    pronunciation_dictionary_locators: list[Any] | None = None
    xi_api_key: str | None = None
    authorization: str | None = None


class SocketAlignment(msgspec.Struct, kw_only=True, rename="camel"):
    """Milliseconds from where the message before it ended, so that they add up."""

    chars: list[str]
    char_start_times_ms: list[int]
    char_durations_ms: list[int]
    # The vendor's documents have both names.
    chars_durations_ms: list[int]


class OutputMessage(msgspec.Struct, kw_only=True, rename="camel"):
    """What stream-input answers: sound in base64, or the news that it is over."""

    audio: str | None = None
    is_final: bool | None = None
    alignment: SocketAlignment | None = None
    normalized_alignment: SocketAlignment | None = None


class VerifiedLanguage(msgspec.Struct, kw_only=True):
    """A language that a voice speaks."""

    language: str
    model_id: str
    locale: str
    accent: str | None = None
    preview_url: str | None = None


class Voice(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/api-reference/voices/get."""

    voice_id: str
    name: str
    description: str
    category: str = "premade"
    labels: dict[str, str] = {}
    settings: VoiceSettings | None = None
    verified_languages: list[VerifiedLanguage] = []
    high_quality_base_model_ids: list[str] = []
    available_for_tiers: list[str] = []
    preview_url: str | None = None
    samples: list[Any] | None = None
    is_owner: bool = False
    is_legacy: bool = False
    is_mixed: bool = False


class Voices(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/api-reference/voices/get-all (v1)."""

    voices: list[Voice]


class VoicesPage(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/api-reference/voices/search (v2)."""

    voices: list[Voice]
    has_more: bool
    total_count: int
    next_page_token: str | None = None


class OutputQuery(msgspec.Struct, kw_only=True):
    """What sound a client wants: the formats are ``convert.OUTPUTS``."""

    output_format: str | None = None


class VoicesQuery(msgspec.Struct, kw_only=True):
    """What /v2/voices can be asked for.

    All voices here are premade: asking for any other kind finds none. Without effect:
    ``min_notice_period_days``, ``include_custom_rates``, ``include_live_moderated``,
    ``high_quality`` and ``include_total_count`` (the count is always told).
    """

    next_page_token: str | None = None
    page_size: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    search: str = ""
    sort: Literal["created_at_unix", "name"] | None = None
    sort_direction: Literal["asc", "desc"] = "asc"
    voice_type: str | None = None
    category: str | None = None
    fine_tuning_state: str | None = None
    collection_id: str | None = None
    gender: str | None = None
    age: str | None = None
    language: str | None = None
    accent: str | None = None
    use_cases: list[str] = []
    voice_ids: list[str] = []


class Language(msgspec.Struct, kw_only=True):
    """A language of a model."""

    language_id: str
    name: str


class Model(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/api-reference/models/list; costs nothing here."""

    model_id: str
    name: str
    description: str
    languages: list[Language]
    can_do_text_to_speech: bool
    maximum_text_length_per_request: int
    max_characters_request_free_user: int
    max_characters_request_subscribed_user: int
    can_be_finetuned: bool = False
    can_do_voice_conversion: bool = False
    can_use_style: bool = False
    can_use_speaker_boost: bool = False
    serves_pro_voices: bool = False
    requires_alpha_access: bool = False
    token_cost_factor: float = 0.0
    concurrency_group: str = "standard"


class Price(msgspec.Struct, kw_only=True):
    """An amount of money."""

    amount: str = "0"
    currency: str = "usd"


class Subscription(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/api-reference/user/subscription/get.

    Nothing is sold here, so nothing runs out.
    """

    character_count: int
    character_limit: int
    tier: str = "ogam"
    status: str = "active"
    max_character_limit_extension: int | None = None
    max_credit_limit_extension: int = 0
    can_extend_character_limit: bool = False
    allowed_to_extend_character_limit: bool = False
    next_character_count_reset_unix: int | None = None
    voice_slots_used: int = 0
    professional_voice_slots_used: int = 0
    professional_voice_slots_used_in_workspace: int = 0
    voice_limit: int = 0
    voice_add_edit_counter: int = 0
    professional_voice_limit: int = 0
    can_extend_voice_limit: bool = False
    can_use_instant_voice_cloning: bool = False
    can_use_professional_voice_cloning: bool = False
    currency: str | None = None
    current_overage: Price = msgspec.field(default_factory=Price)
    billing_period: str | None = None
    character_refresh_period: str | None = None


class User(msgspec.Struct, kw_only=True):
    """https://elevenlabs.io/docs/api-reference/user/get. A user is a key."""

    user_id: str
    workspace_id: str
    subscription: Subscription
    is_new_user: bool = False
    can_use_delayed_payment_methods: bool = False
    is_onboarding_completed: bool = True
    is_onboarding_checklist_completed: bool = True
    is_api_key_hashed: bool = True
    created_at: int = 0
    seat_type: str = "workspace_admin"
