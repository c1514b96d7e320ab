using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Catalog;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Analysis.Catalog;

/// <summary>What an analysis has to be given besides a model.</summary>
[Flags]
public enum AnalysisNeeds
{
    /// <summary>The model alone.</summary>
    None = 0,

    /// <summary>Samples with labels (or text, whose next tokens are the labels).</summary>
    LabelledData = 1,

    /// <summary>Pictures with labels.</summary>
    Pictures = 2,

    /// <summary>Samples to train on.</summary>
    TrainingData = 4,

    /// <summary>At least one more model.</summary>
    OtherModel = 8,

    /// <summary>It trains networks: minutes to hours.</summary>
    Training = 16,
}

/// <summary>What an analysis works on.</summary>
/// <param name="Model">The model; it is not changed.</param>
/// <param name="Arguments">Values of the analysis' parameters.</param>
public sealed record AnalysisRequest(ModelGraph Model, MethodArguments Arguments)
{
    /// <summary>What the model is called in tables.</summary>
    public string Name { get; init; } = "model";

    /// <summary>Other models with names, in the order in which they were given.</summary>
    public IReadOnlyList<(string Name, ModelGraph Graph)> Others { get; init; } = [];

    /// <summary>Data; null when there is none.</summary>
    public DataSource? Data { get; init; }

    /// <summary>Where further data sets that a parameter names are looked for; null takes the environment's.</summary>
    public string? DataRoot { get; init; }

    /// <summary>The models' input normalisation.</summary>
    public InputNormalization Normalization { get; init; } = InputNormalization.None;

    /// <summary>Seed of everything random.</summary>
    public long Seed { get; init; }

    /// <summary>Samples per forward pass.</summary>
    public int BatchSize { get; init; } = 128;

    /// <summary>Where finished parts are kept; null keeps none.</summary>
    public IAnalysisStore? Store { get; init; }

    /// <summary>Reports.</summary>
    public IProgress<AnalysisProgress>? Progress { get; init; }

    /// <summary>Stops the analysis; what is finished is in the store.</summary>
    public CancellationToken Cancellation { get; init; }

    /// <summary>Samples to evaluate on, at most as many as the parameter <c>limit</c> says (0 = all).</summary>
    internal IDataset EvaluationSamples() => Limited(Data!.ForEvaluation);

    /// <summary>Samples to train on, at most as many as the parameter <c>limit</c> says (0 = all).</summary>
    internal IDataset TrainingSamples() => Limited(Data!.ForTraining);

    private IDataset Limited(IDataset data) => NetworkOutputs.First(data, Arguments.Int("limit") is var l and > 0 ? l : null);
}

/// <summary>How numbers of a column are written.</summary>
public enum ColumnFormat
{
    /// <summary>Words.</summary>
    Text,

    /// <summary>Whole numbers with separators.</summary>
    Count,

    /// <summary>Four digits after the point.</summary>
    Number,

    /// <summary>Per cent with two digits.</summary>
    Share,
}

/// <summary>A column of a table.</summary>
/// <param name="Name">Heading; the key in JSON.</param>
/// <param name="Format">How its cells are written.</param>
public sealed record AnalysisColumn(string Name, ColumnFormat Format = ColumnFormat.Text);

/// <summary>A table of results.</summary>
/// <param name="Title">What it shows.</param>
/// <param name="Columns">Its columns.</param>
/// <param name="Rows">Cells: strings, whole numbers or numbers; null and NaN are empty.</param>
public sealed record AnalysisTable(string Title, IReadOnlyList<AnalysisColumn> Columns, IReadOnlyList<IReadOnlyList<object?>> Rows);

/// <summary>What a chart looks like.</summary>
public enum ChartKind
{
    /// <summary>Lines over a numeric axis.</summary>
    Lines,

    /// <summary>Points.</summary>
    Scatter,

    /// <summary>Bars per category.</summary>
    Bars,

    /// <summary>Coloured cells of two categorical axes.</summary>
    Heat,
}

/// <summary>A series of a chart.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Points">(x, y); for bars x is the category's position; for heat maps the series is a row and x the column.</param>
public sealed record AnalysisSeries(string Name, IReadOnlyList<(double X, double Y)> Points);

/// <summary>A chart of results.</summary>
/// <param name="Title">What it shows.</param>
/// <param name="Kind">What it looks like.</param>
/// <param name="XName">Name of the horizontal axis.</param>
/// <param name="YName">Name of the vertical axis, or of the colour.</param>
/// <param name="Series">The series.</param>
public sealed record AnalysisChart(string Title, ChartKind Kind, string XName, string YName, IReadOnlyList<AnalysisSeries> Series)
{
    /// <summary>Categories of bars, or columns of a heat map.</summary>
    public IReadOnlyList<string> Categories { get; init; } = [];
}

/// <summary>What an analysis found: the same for the console, for JSON and for reports.</summary>
/// <param name="Headline">The result in one sentence.</param>
public sealed record AnalysisResult(string Headline)
{
    /// <summary>Single figures by name; a NaN is "not to be had".</summary>
    public IReadOnlyDictionary<string, double> Figures { get; init; } = new Dictionary<string, double>();

    /// <summary>Tables.</summary>
    public IReadOnlyList<AnalysisTable> Tables { get; init; } = [];

    /// <summary>Charts.</summary>
    public IReadOnlyList<AnalysisChart> Charts { get; init; } = [];

    /// <summary>Remarks: what limits the result, what was left out and why.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];
}

/// <summary>An analysis of the catalogue: command line and documentation are made from it. Stands in the analysis' own file.</summary>
public sealed record AnalysisInfo
{
    /// <summary>Stable id, as on the command line.</summary>
    public required string Id { get; init; }

    /// <summary>Name for people.</summary>
    public required string Title { get; init; }

    /// <summary>Authors, title, venue, year.</summary>
    public required string Paper { get; init; }

    /// <summary>Section, equation or figure that it implements.</summary>
    public required string Section { get; init; }

    /// <summary>One sentence: the question that it answers.</summary>
    public required string Description { get; init; }

    /// <summary>What it needs besides the model.</summary>
    public required AnalysisNeeds Needs { get; init; }

    /// <summary>Its parameters.</summary>
    public required IReadOnlyList<MethodParameter> Parameters { get; init; }

    /// <summary>Does it.</summary>
    public required Func<AnalysisRequest, AnalysisResult> Analyse { get; init; }

    /// <summary>Says what would be done, one sentence, and checks the arguments; nothing is trained or evaluated.</summary>
    public required Func<AnalysisRequest, string> Plan { get; init; }

    /// <summary>Checks the values of parameters; what is not given takes its default.</summary>
    /// <exception cref="PruningException">SL4010, SL4002: a name is unknown or a value wrong.</exception>
    public MethodArguments Arguments(IReadOnlyDictionary<string, string>? given = null) => new(Id, Parameters, given);

    /// <summary>Refuses a request that lacks what the analysis needs; call it before anything long is started.</summary>
    /// <exception cref="PruningException">SL4023: data, or another model, is missing. SL4002: a value does not fit.</exception>
    public void Require(AnalysisRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (Needs.HasFlag(AnalysisNeeds.OtherModel) && request.Others.Count == 0)
            throw Lacking("another model", "name it with --other, for example: --other runs/prune-m/model.onnx");
        if ((Needs & (AnalysisNeeds.LabelledData | AnalysisNeeds.Pictures | AnalysisNeeds.TrainingData)) == 0) return;
        if (request.Data is null) throw Lacking(Needs.HasFlag(AnalysisNeeds.Pictures) ? "labelled pictures" : "labelled data", "give data with --data, for example --data shapes");
        if (Needs.HasFlag(AnalysisNeeds.TrainingData) && request.Data.Train is null) throw Lacking($"samples to train on, and '{request.Data.Name}' has none", "name the training files, or the folder that holds both parts");
        if (Needs.HasFlag(AnalysisNeeds.Pictures) && request.Data.ForEvaluation.Kind != SampleKind.Picture) throw Lacking($"pictures, and '{request.Data.Name}' holds {request.Data.ForEvaluation.Kind.ToString().ToLowerInvariant()}", "a set of pictures, for example --data shapes");
    }

    /// <summary>Checks and does it.</summary>
    public AnalysisResult Run(AnalysisRequest request)
    {
        Require(request);
        return Analyse(request);
    }

    private PruningException Lacking(string what, string next) => new("SL4023", $"the analysis '{Id}' needs {what}") { Try = next };
}
