from gateway.config.errors import ConfigError, Problem


def test_a_problem_tells_file_line_path_and_message() -> None:
    assert Problem("is wrong; mend it", ("proxies", 0, "path"), 7).render("f.yaml") == (
        "f.yaml:7: proxies.0.path: is wrong; mend it"
    )


def test_what_is_unknown_is_left_out() -> None:
    assert Problem("is wrong").render("f.yaml") == "f.yaml: is wrong"
    assert Problem("is wrong", (), 2, 5).render("f.yaml") == "f.yaml:2:5: is wrong"


def test_a_key_cannot_add_a_line_to_the_report() -> None:
    assert Problem("is wrong", ("a\nb", "\x1b[2J"), 1).render("f") == r"f:1: 'a\nb'.'\x1b[2J': is wrong"


def test_an_error_tells_all_problems_in_the_order_of_their_lines() -> None:
    error = ConfigError("f", [Problem("second", (), 9), Problem("first", (), 2)])
    assert str(error) == "f:2: first\nf:9: second"
    assert [problem.line for problem in error.problems] == [2, 9]
