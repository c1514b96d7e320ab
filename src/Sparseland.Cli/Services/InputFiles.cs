using Sparseland.Cli.Hosting;
using Sparseland.Model;
using Sparseland.Model.Formats.Numpy;
using Sparseland.Model.Formats.Onnx;
using Sparseland.Model.Graph;
using Sparseland.Model.Tokenizers;
using Sparseland.Training.Data;
using Sparseland.Training.Data.Pictures;

namespace Sparseland.Cli.Services;

/// <summary>Reads the files that <c>run --input NAME=FILE</c> names: tensors, pictures and text.</summary>
internal static class InputFiles
{
    /// <summary>Reads all inputs of a model.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="given">NAME=FILE pairs; the name may be left out when the model has one input or the file is an .npz with the inputs' names.</param>
    public static Dictionary<string, TensorData> Read(ModelGraph graph, IReadOnlyList<string> given)
    {
        var inputs = new Dictionary<string, TensorData>(StringComparer.Ordinal);
        foreach (string item in given)
        {
            int equals = item.IndexOf('=', StringComparison.Ordinal);
            string name = equals > 0 ? item[..equals] : "", path = equals > 0 ? item[(equals + 1)..] : item;
            if (!File.Exists(path)) throw new VerbException(ExitCodes.BadInputFile, "SL1000", $"input file '{path}' does not exist");
            if (Path.GetExtension(path).Equals(".npz", StringComparison.OrdinalIgnoreCase))
            {
                AddArchive(graph, name, path, inputs);
                continue;
            }
            if (name.Length == 0)
            {
                if (graph.Inputs.Count != 1) throw VerbException.Usage($"the model has {graph.Inputs.Count} inputs; say which one '{path}' is", $"--input {graph.Inputs[0].Name}={path}");
                name = graph.Inputs[0].Name;
            }
            GraphValue input = graph.Inputs.FirstOrDefault(i => i.Name == name)
                ?? throw VerbException.Usage($"the model has no input '{name}'", $"its inputs are {string.Join(", ", graph.Inputs.Select(i => i.Name))}");
            inputs[name] = Adapt(ReadOne(graph, input, path), input);
        }
        return inputs;
    }

    private static void AddArchive(ModelGraph graph, string name, string path, Dictionary<string, TensorData> inputs)
    {
        OrderedDictionary<string, TensorData> arrays = NpzReader.Read(path);
        if (name.Length > 0)
        {
            if (arrays.Count != 1) throw VerbException.Usage($"'{path}' holds {arrays.Count} arrays; leave the name out to take them by their own names");
            GraphValue input = graph.Inputs.FirstOrDefault(i => i.Name == name) ?? throw VerbException.Usage($"the model has no input '{name}'");
            inputs[name] = Adapt(arrays.GetAt(0).Value, input);
            return;
        }
        foreach ((string key, TensorData value) in arrays)
        {
            GraphValue input = graph.Inputs.FirstOrDefault(i => i.Name == key)
                ?? throw VerbException.Usage($"'{path}' holds an array '{key}', which is no input of the model", $"its inputs are {string.Join(", ", graph.Inputs.Select(i => i.Name))}");
            inputs[key] = Adapt(value, input);
        }
    }

    private static TensorData ReadOne(ModelGraph graph, GraphValue input, string path) => Path.GetExtension(path).ToLowerInvariant() switch
    {
        ".npy" => NpyReader.Read(path),
        ".pb" => OnnxTensor.Read(path),
        ".png" => ReadPicture(graph, input, path),
        ".txt" => ReadText(graph, path),
        string other => throw new VerbException(ExitCodes.BadInputFile, "SL1008", $"'{path}': {(other.Length == 0 ? "a file without extension" : other)} is no input format")
        {
            Try = "give .npy, .npz, .pb (ONNX TensorProto), .png or .txt",
        },
    };

    private static TensorData ReadPicture(ModelGraph graph, GraphValue input, string path)
    {
        if (input.Type is not { ElementType: ElementType.Float32, Shape: { Rank: 4 } shape } || !shape[1].IsKnown || shape[1].Value is not (1 or 3))
            throw VerbException.Usage($"input '{input.Name}' is {input.Type}, which no picture fits");
        Picture picture = PngReader.Read(path);
        int height = shape[2].IsKnown ? shape[2].Value : picture.Height, width = shape[3].IsKnown ? shape[3].Value : picture.Width, channels = shape[1].Value;
        byte[] planes = PictureFolder.Fit(picture, height, width).ToPlanes(channels);
        float[] pixels = Array.ConvertAll(planes, p => p / 255f);
        InputNormalization normalization = ModelMetadata.FindNormalization(graph) ?? InputNormalization.None;
        normalization.Apply(pixels, channels, height * width);
        return TensorData.Wrap(pixels, 1, channels, height, width);
    }

    private static TensorData ReadText(ModelGraph graph, string path)
    {
        ITokenizer tokenizer = Tokenizer.Find(graph)
            ?? throw VerbException.Usage("the model carries no tokenizer, so text cannot become its input", "give token ids as .npy");
        long[] ids = [.. tokenizer.Encode(File.ReadAllText(path)).Select(i => (long)i)];
        return TensorData.Wrap(ids, 1, ids.Length);
    }

    /// <summary>Converts between number types where nothing is lost: a model of singles takes any float array, one of int64 any integer array.</summary>
    private static TensorData Adapt(TensorData value, GraphValue input)
    {
        if (value.ElementType == input.Type.ElementType) return value;
        if (input.Type.ElementType == ElementType.Float32 && value.ElementType.IsFloat()) return value.ToFloat32();
        if (input.Type.ElementType == ElementType.Int64 && value.ElementType is ElementType.Int32 or ElementType.Int16 or ElementType.UInt8 or ElementType.Int8)
            return TensorData.Wrap(value.ToInt64s(), value.Shape);
        return value;
    }
}
