using System.CommandLine;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Services;
using Sparseland.Model.Graph;
using Sparseland.Runtime;
using Sparseland.Training.Data;
using Sparseland.Training.Metrics;
using Sparseland.Training.Runs;

namespace Sparseland.Cli.Verbs;

/// <summary>Measures a model on data: top-1, top-5, loss and calibration error; perplexity and bits per byte for text.</summary>
internal sealed class EvaluateVerb : Verb
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string?> _data = SharedOptions.Data(required: true);
    private readonly Option<string?> _dataRoot = SharedOptions.DataRoot();
    private readonly Option<string?> _architecture = SharedOptions.Architecture();
    private readonly Option<string?> _normalize = SharedOptions.Normalize();
    private readonly Option<int> _batch = SharedOptions.Batch(128);
    private readonly Option<int?> _limit = new("--limit") { Description = "Only the first N samples." };
    private readonly Option<int?> _window = new("--window") { Description = $"Tokens per sample of text (default: the model's context, at most {LongestWindow})." };
    private readonly Option<string?> _part = new("--part") { Description = "Text: 'all' of it, or 'held-out': the last tenth, on which nothing here trains. Default: all of a file, the held-out part of a known set." };

    /// <summary>Attention costs the square of the window; longer contexts are asked for by hand.</summary>
    private const int LongestWindow = 1024;

    protected override (string Name, string Description) Title => ("evaluate", "Measure accuracy or perplexity of a model on data.");

    protected override bool Resumes => false;

    protected override void Declare(Command command)
    {
        command.Arguments.Add(_model);
        Option[] options = [_data, _dataRoot, _architecture, _normalize, _batch, _limit, _window, _part];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override async Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        int batch = arguments.GetValue(_batch);
        if (batch < 1) throw VerbException.Usage($"--batch is {batch}", "use 1 or more");
        if (arguments.GetValue(_limit) is < 1) throw VerbException.Usage("--limit must be 1 or more");
        string? part = arguments.GetValue(_part);
        if (part is not (null or "all" or "held-out")) throw VerbException.Usage($"--part is '{part}'", "use all or held-out");
        if (arguments.GetValue(_window) < 2) throw VerbException.Usage("--window must be 2 or more");
        ModelGraph graph = ModelAccess.Load(arguments.GetValue(_model)!, arguments.GetValue(_architecture), arguments.GetValue(_normalize));
        OpenedData data = OpenedData.For(graph, arguments.GetValue(_data)!, arguments.GetValue(_dataRoot), arguments.GetValue(_window) ?? DefaultWindow(graph), context.Settings.Seed);
        bool whole = data.Source.WholeText is not null && (part == "all" || (part is null && File.Exists(arguments.GetValue(_data)!)));
        IDataset samples = whole ? data.Source.WholeText! : data.Source.ForEvaluation;
        if (context.Settings.DryRun)
        {
            context.Say($"would evaluate {graph.Name} on {samples.Count} samples of {data.Source.Name} ({data.Source.Format})");
            return ExitCodes.Done;
        }
        Calibration? calibration = data.IsText ? null : new Calibration();
        Evaluation e = await EvaluationService.EvaluateAsync(context, graph, data, batch, arguments.GetValue(_limit), part: samples, calibration: calibration).ConfigureAwait(false);
        if (data.IsText)
        {
            if (data.Source.WholeText is not null) context.Detail(whole ? "the whole text" : "the held-out tenth of the text");
            context.Conclude($"{e.Scored} tokens  perplexity {e.Perplexity:0.0000}  loss {e.Loss:0.0000}{(e.BitsPerByte is { } b ? $"  bits per byte {b:0.0000}" : "")}");
        }
        else
        {
            context.Conclude($"{e.Samples} samples  top-1 {e.Top1:P2}  top-5 {e.Top5:P2}  loss {e.Loss:0.0000}{(calibration is { Count: > 0 } c ? $"  calibration error {c.ExpectedError:P2}" : "")}");
        }
        context.Result(EvaluationService.ToJson(e, data.IsText, calibration));
        context.Next($"sparseland bench {arguments.GetValue(_model)}");
        return ExitCodes.Done;
    }

    private static int DefaultWindow(ModelGraph graph)
    {
        const int Fallback = 256;
        if (graph.Inputs.Count != 1 || graph.Inputs[0].Type.ElementType is not (ElementType.Int64 or ElementType.Int32)) return Fallback;
        return Math.Clamp(new TextGenerator(graph).ContextLength ?? Fallback, 2, LongestWindow);
    }
}
