namespace Sparseland.Model.Formats.Onnx.Conformance;

/// <summary>One case in the layout of the ONNX backend tests: a model and sets of inputs with the outputs they must give.</summary>
/// <param name="Name">The folder's path below the root, with forward slashes.</param>
/// <param name="ModelPath">The model.</param>
/// <param name="DataSets">Folders with input_0.pb, input_1.pb ... and output_0.pb ...; at least one.</param>
public sealed record ConformanceCase(string Name, string ModelPath, IReadOnlyList<string> DataSets)
{
    /// <summary>Every case below a folder (the folder itself may be one), sorted by name.</summary>
    /// <exception cref="SparselandException">SL1001: there is no such folder.</exception>
    public static IReadOnlyList<ConformanceCase> Find(string root)
    {
        ArgumentException.ThrowIfNullOrEmpty(root);
        if (!Directory.Exists(root))
            throw new ModelFormatException("SL1001", $"the folder '{root}' does not exist") { Where = root, Try = "name a folder below which cases with model.onnx and test_data_set_0 lie" };
        var cases = new List<ConformanceCase>();
        foreach (string model in Directory.EnumerateFiles(root, "model.onnx", SearchOption.AllDirectories))
        {
            string folder = Path.GetDirectoryName(model)!;
            string[] sets = Directory.GetDirectories(folder, "test_data_set_*");
            if (sets.Length == 0) continue;
            Array.Sort(sets, StringComparer.Ordinal);
            string name = Path.GetRelativePath(root, folder).Replace('\\', '/');
            cases.Add(new ConformanceCase(name == "." ? Path.GetFileName(Path.GetFullPath(root)) : name, model, sets));
        }
        cases.Sort((a, b) => string.CompareOrdinal(a.Name, b.Name));
        return cases;
    }

    /// <summary>The files PREFIX_0.pb, PREFIX_1.pb ... of a data set, in order, ending at the first number that is missing.</summary>
    internal static List<string> Files(string dataSet, string prefix)
    {
        var files = new List<string>();
        for (int i = 0; ; i++)
        {
            string path = Path.Combine(dataSet, $"{prefix}_{i}.pb");
            if (!File.Exists(path)) return files;
            files.Add(path);
        }
    }
}
