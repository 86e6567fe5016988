"""reStructuredText: sections, directives of any make, tables, and the marks of inline text taken off."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.knowledge.loaders.rst import load_rst

PAGE = """\
=========
 Harbour
=========

.. module:: harbour
   :synopsis: Left out.

The :mod:`!harbour` has `rules <https://x.example>`_, see :ref:`the fees <fees>` or ``x = *y`` and *all* **that**.

.. _fees:

Fees
----

.. function:: fee(ship, *,
              nights=1)
   :noindex:

   What a ship pays::

      >>> fee(ferry)
      100

   .. versionchanged:: 3.9
      Ferries pay more.

.. note::
   Paid in *advance*.

* ropes
  and lines
* fenders

  in the boat house

+------+-------+
| ship | euros |
+======+=======+
| any  | 12    |
| size |       |
+------+-------+

=====  =====
ship   euros
=====  =====
ferry  100
       a day
=====  =====

.. code-block:: python
   :linenos:

   def f():
       return 1

.. a comment
   over two lines

Term
   What it means.
"""


def test_structure_becomes_blocks_and_marks_are_taken_off() -> None:
    document = load_rst(PAGE.encode())
    assert document.title == "Harbour"
    assert [(block.kind, block.level, document.text[block.start : block.end]) for block in document.blocks] == [
        ("heading", 1, "Harbour"),
        ("paragraph", 0, "The harbour has rules, see the fees or x = *y and all that."),
        ("heading", 2, "Fees"),
        ("paragraph", 0, "fee(ship, *,\nnights=1)"),
        ("paragraph", 0, "What a ship pays:"),
        ("code", 0, ">>> fee(ferry)\n100"),
        ("paragraph", 0, "Changed in version 3.9: Ferries pay more."),
        ("paragraph", 0, "Paid in advance."),
        ("paragraph", 0, "- ropes and lines"),
        ("paragraph", 0, "- fenders"),
        ("paragraph", 0, "in the boat house"),
        ("table", 0, "ship | euros\nany size | 12"),
        ("table", 0, "ship | euros\nferry | 100 a day"),
        ("code", 0, "def f():\n    return 1"),
        ("paragraph", 0, "Term"),
        ("paragraph", 0, "What it means."),
    ]


def test_nesting_without_end_is_no_recursion() -> None:
    deep = "\n\n".join("   " * level + ".. note::" for level in range(500)) + "\n\n" + "   " * 500 + "the end"
    assert "the end" in load_rst(deep.encode()).text


@given(st.text(alphabet=st.sampled_from("ab=-+|:.`*_ \n<>"), max_size=200))
def test_any_text_gives_blocks_that_hold_its_whole_text(source: str) -> None:
    document = load_rst(source.encode())
    covered = "".join(document.text[block.start : block.end] for block in document.blocks)
    assert "".join(covered.split()) == "".join(document.text.split())
