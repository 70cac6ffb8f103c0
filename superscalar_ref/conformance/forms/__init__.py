"""The forms of published vector files that are known here: one module a form, each with a ``FORM``.

To add a form: write a module with ``FORM = Form(...)`` and add it to ``forms()``.
"""

from __future__ import annotations

from superscalar_ref.conformance.forms.base import Form


def forms() -> tuple[Form, ...]:
    """All known forms; their modules are imported here, and no earlier."""
    from superscalar_ref.conformance.forms import (  # noqa: PLC0415 - the signing library loads only when needed
        bip327_det_sign,
        bip327_key_agg,
        bip327_key_sort,
        bip327_nonce_agg,
        bip327_nonce_gen,
        bip327_sig_agg,
        bip327_sign_verify,
        bip327_tweak,
        bolt_zero_fee_taproot,
        superscalar,
    )

    modules = (
        bip327_key_sort,
        bip327_key_agg,
        bip327_nonce_gen,
        bip327_nonce_agg,
        bip327_sign_verify,
        bip327_tweak,
        bip327_sig_agg,
        bip327_det_sign,
        bolt_zero_fee_taproot,
        superscalar,
    )
    return tuple(module.FORM for module in modules)
