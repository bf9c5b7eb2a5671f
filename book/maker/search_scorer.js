// Sphinx's search, with the pages of the book before the objects of the API reference and the options of the commands.
var Scorer = {
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 0, 1: 0, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
  score: ([page, title, anchor, description, score]) =>
    page.startsWith("generated/reference/") || description !== null ? score - 100 : score,
};
