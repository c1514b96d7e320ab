namespace Sparseland.Bench.Page;

/// <summary>A section of the page: aims, tables, and the id of its notes.</summary>
internal sealed record Section(string Id, string Title, IReadOnlyList<Aim> Aims, IReadOnlyList<MarkdownTable> Tables);
