//! Markdown tables that can be read in a terminal too.

/// The first column to the left, the others to the right.
pub fn render(head: &[String], rows: &[Vec<String>]) -> String {
    let all = || std::iter::once(head).chain(rows.iter().map(Vec::as_slice));
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        })
        .collect();
    let mut text = String::new();
    for (at, row) in all().enumerate() {
        let cells = widths.iter().enumerate().map(|(column, width)| {
            let cell = row.get(column).map_or("", String::as_str);
            if column == 0 { format!(" {cell:<width$} |") } else { format!(" {cell:>width$} |") }
        });
        text.extend(std::iter::once("|".to_owned()).chain(cells).chain(["\n".to_owned()]));
        if at == 0 {
            let rules = widths.iter().enumerate().map(|(column, width)| {
                let dashes = "-".repeat(width + 1);
                if column == 0 { format!("{dashes}-|") } else { format!("{dashes}:|") }
            });
            text.extend(std::iter::once("|".to_owned()).chain(rules).chain(["\n".to_owned()]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_have_to_be() {
        let words = |line: &[&str]| line.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let table = render(&words(&["server", "µs"]), &[words(&["floor", "10.25"]), words(&["x", "–"])]);
        assert_eq!(table, "| server |    µs |\n|--------|------:|\n| floor  | 10.25 |\n| x      |     – |\n");
    }
}
