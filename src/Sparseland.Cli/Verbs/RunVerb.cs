using System.CommandLine;
using System.Numerics.Tensors;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Services;
using Sparseland.Model;
using Sparseland.Model.Formats.Numpy;
using Sparseland.Model.Graph;
using Sparseland.Model.Tokenizers;
using Sparseland.Runtime;

namespace Sparseland.Cli.Verbs;

/// <summary>Runs a model: classifies pictures, completes text, or writes the outputs as arrays.</summary>
internal sealed class RunVerb : Verb
{
    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string[]> _input = new("--input") { Description = "NAME=FILE: .npy, .npz, .pb, .png or .txt. The name may be left out when the model has one input." };
    private readonly Option<string?> _prompt = new("--prompt") { Description = "Text to complete, for language models." };
    private readonly Option<int> _tokens = new("--tokens") { Description = "Most tokens to generate.", DefaultValueFactory = _ => 200 };
    private readonly Option<double> _temperature = new("--temperature") { Description = "0 always takes the likeliest token.", DefaultValueFactory = _ => 0 };
    private readonly Option<double> _topP = new("--top-p") { Description = "Sample from the likeliest tokens that hold this share of the probability.", DefaultValueFactory = _ => 1 };
    private readonly Option<int> _topK = new("--top-k") { Description = "Sample from the K likeliest tokens; 0 takes all.", DefaultValueFactory = _ => 0 };
    private readonly Option<string?> _output = SharedOptions.Output("Write the outputs to this .npz, .npy (one output) or folder.");
    private readonly Option<string?> _architecture = SharedOptions.Architecture();
    private readonly Option<string?> _normalize = SharedOptions.Normalize();
    private readonly Option<bool> _dense = new("--force-dense") { Description = "Use dense kernels for every weight." };
    private readonly Option<bool> _force = SharedOptions.Force();

    protected override (string Name, string Description) Title => ("run", "Run a model on tensors, pictures or text.");

    protected override bool Resumes => false;

    protected override void Declare(Command command)
    {
        _input.AllowMultipleArgumentsPerToken = true;
        command.Arguments.Add(_model);
        Option[] options = [_input, _prompt, _tokens, _temperature, _topP, _topK, _output, _architecture, _normalize, _dense, _force];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        ModelGraph graph = ModelAccess.Load(arguments.GetValue(_model)!, arguments.GetValue(_architecture), arguments.GetValue(_normalize));
        var options = MachineTable.Options(arguments.GetValue(_dense));
        string[] given = arguments.GetValue(_input) ?? [];
        if (arguments.GetValue(_prompt) is { } prompt) return Task.FromResult(Complete(arguments, context, graph, prompt, options));
        if (given.Length == 0)
            throw VerbException.Usage("no input was given", $"--input {(graph.Inputs.Count > 0 ? graph.Inputs[0].Name : "NAME")}=FILE{(Tokenizer.Find(graph) is null ? "" : ", or --prompt TEXT")}");
        Dictionary<string, TensorData> inputs = InputFiles.Read(graph, given);
        if (context.Settings.DryRun)
        {
            context.Say($"would run {graph.Name} on {string.Join(", ", inputs.Select(i => $"{i.Key} {i.Value}"))}");
            return Task.FromResult(ExitCodes.Done);
        }
        OrderedDictionary<string, TensorData> outputs = new InferenceSession(graph, options).Run(inputs, context.Cancellation);
        var json = new JsonObject();
        foreach ((string name, TensorData value) in outputs) json[name] = new JsonObject { ["type"] = value.ElementType.ToString(), ["shape"] = new JsonArray([.. value.Shape.ToArray().Select(d => (JsonNode)d)]) };
        var result = new JsonObject { ["outputs"] = json };
        if (arguments.GetValue(_output) is { } target)
        {
            Write(outputs, target, arguments.GetValue(_force));
            context.Say($"wrote {target}: {string.Join(", ", outputs.Select(o => $"{o.Key} {o.Value}"))}");
            result["written"] = target;
        }
        if (Classify(graph, outputs) is { } classes)
        {
            foreach (JsonNode? row in classes)
                context.Conclude($"{row!["sample"]}: {string.Join("  ", row["classes"]!.AsArray().Select(c => $"{c!["name"]} {(double)c["probability"]!:P1}"))}");
            result["classification"] = classes;
        }
        else if (arguments.GetValue(_output) is null)
        {
            foreach ((string name, TensorData value) in outputs) context.Conclude($"{name} {value}: {Preview(value)}");
        }
        context.Result(result);
        return Task.FromResult(ExitCodes.Done);
    }

    private int Complete(ParseResult arguments, VerbContext context, ModelGraph graph, string prompt, SessionOptions options)
    {
        ITokenizer tokenizer = Tokenizer.Find(graph)
            ?? throw VerbException.Usage("the model carries no tokenizer, so it cannot complete text", "give token ids with --input tokens=ids.npy");
        var generation = new GenerationOptions
        {
            MaxTokens = arguments.GetValue(_tokens),
            Temperature = arguments.GetValue(_temperature),
            TopP = arguments.GetValue(_topP),
            TopK = arguments.GetValue(_topK),
            Seed = context.Settings.Seed,
        };
        if (context.Settings.DryRun)
        {
            context.Say($"would complete {tokenizer.Encode(prompt).Length} tokens by up to {generation.MaxTokens}");
            return ExitCodes.Done;
        }
        var generator = new TextGenerator(graph, options);
        context.Detail(generator.CacheNote);
        var pieces = new TokenTextStream(tokenizer);
        bool stream = !context.Settings.Json && !context.Settings.Quiet;
        var text = new System.Text.StringBuilder();
        int count = 0;
        if (stream) Console.Write(prompt);
        var watch = System.Diagnostics.Stopwatch.StartNew();
        foreach (int token in generator.Generate(tokenizer.Encode(prompt), generation, context.Cancellation))
        {
            if (token == tokenizer.EndToken) break;
            string piece = pieces.Push(token);
            text.Append(piece);
            count++;
            if (stream) Console.Write(piece);
        }
        double perSecond = count / watch.Elapsed.TotalSeconds;
        if (stream) Console.WriteLine();
        else if (!context.Settings.Json) Console.WriteLine(prompt + text);
        context.Say($"{count} tokens, {perSecond:0.0} tokens/s");
        context.Result(new JsonObject { ["prompt"] = prompt, ["text"] = text.ToString(), ["tokens"] = count, ["tokensPerSecond"] = perSecond });
        return ExitCodes.Done;
    }

    private static JsonArray? Classify(ModelGraph graph, OrderedDictionary<string, TensorData> outputs)
    {
        TensorData logits = outputs.GetAt(0).Value;
        string[]? names = ModelMetadata.FindClassNames(graph);
        if (logits.Rank != 2 || logits.ElementType != ElementType.Float32 || names is null || names.Length != logits.Shape[1]) return null;
        var rows = new JsonArray();
        for (int s = 0; s < logits.Shape[0]; s++)
        {
            var probabilities = new float[names.Length];
            TensorPrimitives.SoftMax(logits.Span<float>().Slice(s * names.Length, names.Length), probabilities);
            var best = new JsonArray();
            foreach (int c in Enumerable.Range(0, names.Length).OrderByDescending(i => probabilities[i]).ThenBy(i => i).Take(5))
                best.Add(new JsonObject { ["name"] = names[c], ["index"] = c, ["probability"] = probabilities[c] });
            rows.Add(new JsonObject { ["sample"] = s, ["classes"] = best });
        }
        return rows;
    }

    private static void Write(OrderedDictionary<string, TensorData> outputs, string target, bool force)
    {
        string extension = Path.GetExtension(target).ToLowerInvariant();
        if (extension == ".npy" && outputs.Count != 1) throw VerbException.Usage($"the model has {outputs.Count} outputs; one .npy holds one", "write an .npz or name a folder");
        ModelAccess.RequireWritable(target, force);
        switch (extension)
        {
            case ".npy":
                NpyWriter.Write(target, outputs.GetAt(0).Value);
                break;
            case ".npz":
                NpzWriter.Write(target, outputs);
                break;
            case "":
                Directory.CreateDirectory(target);
                foreach ((string name, TensorData value) in outputs) NpyWriter.Write(Path.Combine(target, Safe(name) + ".npy"), value);
                break;
            default:
                throw VerbException.Usage($"'{target}': outputs are written as .npy, .npz or into a folder");
        }
    }

    private static string Safe(string name) => string.Concat(name.Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-' ? c : '_'));

    private static string Preview(TensorData value)
    {
        if (value.ElementType == ElementType.String) return string.Join(", ", value.Span<string>().ToArray().Take(8));
        float[] v = value.ToSingles();
        return string.Join(", ", v.Take(8).Select(x => x.ToString("G5"))) + (v.Length > 8 ? ", ..." : "");
    }
}
