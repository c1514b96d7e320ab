using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Cli.Services;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Formats;
using Sparseland.Model.Formats.Compact;
using Sparseland.Model.Graph;
using Sparseland.Runtime;

namespace Sparseland.Cli.Verbs;

/// <summary>Writes a model in another format and checks that both files compute the same.</summary>
internal sealed class ConvertVerb : Verb
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string?> _output = new("--output", "-o") { Description = "The file to write; its extension says the format (.onnx, .sparse.safetensors, .safetensors).", Required = true };
    private readonly Option<string?> _architecture = SharedOptions.Architecture();
    private readonly Option<string?> _normalize = SharedOptions.Normalize();
    private readonly Option<bool> _fold = new("--fold") { Description = "Fold constants and inference batch norms first." };
    private readonly Option<string?> _values = new("--values") { Description = "Hold the weights of a .sparse.safetensors file in this type: f32, bf16, int8, int4. Integers have scales; they are rounded, and run and bench use them as they are." };
    private readonly Option<bool> _force = SharedOptions.Force();

    protected override (string Name, string Description) Title => ("convert", "Write a model in another format.");

    protected override bool Resumes => false;

    protected override void Declare(Command command)
    {
        command.Arguments.Add(_model);
        Option[] options = [_output, _architecture, _normalize, _fold, _values, _force];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        string source = arguments.GetValue(_model)!, target = arguments.GetValue(_output)!;
        ValueKind? values = ParseValues(arguments.GetValue(_values), target);
        ModelGraph graph = ModelAccess.Load(source, arguments.GetValue(_architecture), arguments.GetValue(_normalize));
        ModelGraph original = graph.Clone();
        int folded = arguments.GetValue(_fold) ? GraphSimplifier.Fold(graph).Sum(p => p.Changes) : 0;
        if (context.Settings.DryRun)
        {
            context.Say($"would write {target}: {graph.Nodes.Count} nodes, {graph.Weights.Count} weights{(folded > 0 ? $", {folded} nodes folded" : "")}");
            return Task.FromResult(ExitCodes.Done);
        }
        ModelAccess.RequireWritable(target, arguments.GetValue(_force));
        ModelFile.Save(graph, target, values is null ? null : new CompactOptions { Values = values });

        double? deviation = GraphValidator.UnsupportedOperators(graph).Count == 0 ? Compare(original, ModelAccess.Load(target), context) : null;
        string[] others = values is { } kind && kind.IsQuantized()
            ? [.. ModelAccess.Load(target).Weights.Values.Where(w => w.Storage.Matrix?.Kind == ValueKind.BFloat16).Select(w => w.Name).Order(StringComparer.Ordinal)]
            : [];
        long before = new FileInfo(source).Length, after = new FileInfo(target).Length;
        context.Say($"{target}: {after / 1e6:0.000} MB (was {before / 1e6:0.000} MB){(deviation is { } d ? $", largest deviation from the source {d:0.###e+0}" : ", not run: it has unsupported operators")}");
        if (others.Length > 0) context.Say($"held in bf16 instead of {values!.Value.ShortName()}, because rows are too short for scales or values are not finite: {string.Join(", ", others)}");
        context.Result(new JsonObject { ["output"] = target, ["bytesBefore"] = before, ["bytes"] = after, ["folded"] = folded, ["largestDeviation"] = deviation, ["heldInBFloat16"] = new JsonArray([.. others.Select(n => (JsonNode)n)]) });
        context.Next($"sparseland inspect {target}", $"sparseland bench {target}");
        return Task.FromResult(ExitCodes.Done);
    }

    private static ValueKind? ParseValues(string? text, string target)
    {
        if (text is null) return null;
        if (!target.EndsWith(".safetensors", StringComparison.OrdinalIgnoreCase)) throw VerbException.Usage("--values goes with a .sparse.safetensors file; ONNX files hold single precision");
        ValueKind[] kinds = Enum.GetValues<ValueKind>();
        int found = Array.FindIndex(kinds, k => k.ShortName().Equals(text, StringComparison.OrdinalIgnoreCase));
        return found >= 0 ? kinds[found] : throw VerbException.Usage($"--values is '{text}'; it can be {string.Join(", ", kinds.Select(k => k.ShortName()))}");
    }

    private static double Compare(ModelGraph a, ModelGraph b, VerbContext context)
    {
        Dictionary<string, TensorData> inputs = ModelInputs.Random(a, 2, 16, context.Settings.Seed);
        return TwinBenchmark.Deviation(new InferenceSession(a, MachineTable.Options()).Run(inputs, context.Cancellation), new InferenceSession(b, MachineTable.Options()).Run(inputs, context.Cancellation));
    }
}
