//! Every command, as `--help` shows it.

use super::page::begin_page;

pub(super) fn make_page(mut program: clap::Command) -> String {
    let mut page = begin_page("Commands", "src/cli/");
    program.build();
    page += &format!("```text\n{}```\n", program.render_long_help());
    for command in program.get_subcommands_mut() {
        if command.get_name() != "help" {
            let (name, help) = (command.get_name().to_owned(), command.render_long_help());
            page += &format!("\n## {name}\n\n```text\n{help}```\n");
        }
    }
    page
}
