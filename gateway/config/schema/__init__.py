"""The sections of the configuration file as pydantic models: every key with its bounds, meaning, example and unit.

A key stands in two places: the record of `config.records` names it with its default, and the section of the same name
here says what may be written. The docstring below a key is its description in the JSON Schema, in the reference and in
the form of the live page, which is made from the schema; `form` has the little that it cannot say.

No key is without effect. What the gateway cannot do yet is rejected with a sentence that says so: `Section.refused`
names keys that people try, and the one-valued field (`workers`) carries its sentence with it.
"""
