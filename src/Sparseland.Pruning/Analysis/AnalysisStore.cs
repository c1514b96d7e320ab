using System.Globalization;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;

namespace Sparseland.Pruning.Analysis;

/// <summary>A report from an analysis.</summary>
/// <param name="Done">Units of work done.</param>
/// <param name="Total">Units of work in all.</param>
/// <param name="What">What is being done.</param>
public sealed record AnalysisProgress(double Done, double Total, string What);

/// <summary>Keeps finished parts of a long analysis, so that it can go on after it was stopped.</summary>
public interface IAnalysisStore
{
    /// <summary>The numbers under that key, or null.</summary>
    double[]? Find(string key);

    /// <summary>Keeps numbers.</summary>
    void Put(string key, params double[] values);

    /// <summary>The model under that key, or null.</summary>
    ModelGraph? FindModel(string key);

    /// <summary>Keeps a model.</summary>
    void PutModel(string key, ModelGraph graph);
}

/// <summary>Keeps parts in a folder: numbers line by line in <c>parts.txt</c>, models as compact files.</summary>
/// <remarks>Numbers are written so that they are read back bit for bit. A line that was cut off by a crash is ignored and done again.</remarks>
public sealed class FolderAnalysisStore : IAnalysisStore
{
    private readonly string _folder;
    private readonly Dictionary<string, double[]> _values = new(StringComparer.Ordinal);

    /// <summary>Opens a folder; it is made when something is kept.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="resume">Whether what is there counts; otherwise it is deleted.</param>
    public FolderAnalysisStore(string folder, bool resume)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        _folder = folder;
        if (!resume)
        {
            if (Directory.Exists(folder)) Directory.Delete(folder, recursive: true);
            return;
        }
        if (!File.Exists(Parts)) return;
        foreach (string line in File.ReadAllLines(Parts))
        {
            string[] cells = line.Split('\t');
            // The last cell says how many there are: a line that lacks it was not finished.
            if (cells.Length < 2 || !int.TryParse(cells[^1], CultureInfo.InvariantCulture, out int count) || count != cells.Length - 2) continue;
            double[] values = new double[count];
            bool whole = true;
            for (int i = 0; i < count; i++) whole &= double.TryParse(cells[i + 1], CultureInfo.InvariantCulture, out values[i]);
            if (whole) _values[cells[0]] = values;
        }
    }

    private string Parts => Path.Combine(_folder, "parts.txt");

    /// <inheritdoc/>
    public double[]? Find(string key) => _values.GetValueOrDefault(key);

    /// <inheritdoc/>
    public void Put(string key, params double[] values)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        ArgumentNullException.ThrowIfNull(values);
        Directory.CreateDirectory(_folder);
        _values[key] = values;
        File.AppendAllText(Parts, "\n" + string.Join('\t', [key, .. values.Select(v => v.ToString("R", CultureInfo.InvariantCulture)), values.Length.ToString(CultureInfo.InvariantCulture)]) + "\n");
    }

    /// <inheritdoc/>
    public ModelGraph? FindModel(string key) => File.Exists(ModelPath(key)) ? ModelFile.Load(ModelPath(key)) : null;

    /// <inheritdoc/>
    public void PutModel(string key, ModelGraph graph)
    {
        Directory.CreateDirectory(_folder);
        ModelFile.Save(graph, ModelPath(key));
    }

    private string ModelPath(string key) => Path.Combine(_folder, key + ".sparse.safetensors");
}
